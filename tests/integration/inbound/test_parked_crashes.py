"""Parked messages that hurt the worker itself: each hurts its own key, and all others go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker

from streambind.failpoints import FailpointError
from streambind.inbound.failure import Overtaken
from streambind.inbound.guard import SequenceGuard
from streambind.inbound.input import InputPlan
from streambind.persistence.database import Database
from streambind.testing.eventually import eventually
from tests.integration.inbound.crashes import crashing_at
from tests.integration.inbound.parking import (
    Poison,
    batch,
    of_key,
    parked_key,
    parked_keys,
    parking,
    set_key,
    turn,
    turns,
)
from tests.integration.inbound.service import Event, Service, drain, keep

WITHIN_S = 30.0
KEYS = ("a", "b", "k", "y", "z")


def park(service: Service, *keys: str) -> None:
    """The first event of each key, by an instance that does not mind how many."""
    poison, settings = Poison(*((key, 1) for key in keys)), {"mass_failure_keys": 1000}
    drain(parking(service, poison, parking=settings), batch(*(each for key in keys for each in of_key(key, 1))))
    assert len(parked_keys(service)) == len(keys)


def in_thread(work: Callable[[], object]) -> list[BaseException]:
    """Run it as the worker does, on a thread that is not the main one; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - that is what is asked
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(WITHIN_S)
    assert not thread.is_alive()
    return raised


def lets_out(error: BaseException) -> Callable[[Event, Session], None]:
    def handle(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if event.key == "k":
            raise error

    return handle


ESCAPES = [asyncio.CancelledError(), SystemExit(1), GeneratorExit(), KeyboardInterrupt()]


@pytest.mark.parametrize("error", ESCAPES, ids=lambda error: type(error).__name__)
def test_whatever_a_handler_lets_out_is_its_messages_failure(sync_service: Service, error: BaseException) -> None:
    park(sync_service, *KEYS)
    plan = parking(sync_service, lets_out(error), adopt=None, parking={"max_attempts": 2})

    assert in_thread(lambda: turns(plan)) == []

    assert parked_keys(sync_service) == {b"k": ("dead", 2, 1)}
    assert type(error).__name__ in parked_key(sync_service).error_text
    assert len(sync_service.effects()) == len(KEYS) - 1


@pytest.mark.parametrize("error", ESCAPES, ids=lambda error: type(error).__name__)
def test_it_is_when_it_is_delivered_too(sync_service: Service, error: BaseException) -> None:
    plan = sync_service.keeping(lets_out(error), on_error="skip", max_attempts=1)

    records = batch(*(each for key in KEYS for each in of_key(key, 1)))
    assert in_thread(lambda: drain(plan, records)) == []

    assert [key for key, _ in sync_service.effects()] == [key for key in KEYS if key != "k"]
    assert plan.statistics.figures().skipped == 1


def test_what_it_awaits_may_be_cancelled_by_others(async_service: Service) -> None:
    park(async_service, *KEYS)

    async def handle(event: Event, session: AsyncSession) -> None:
        if event.key == "k":
            helper = asyncio.create_task(asyncio.Event().wait())
            helper.cancel()
            await helper
        await session.run_sync(lambda inner: keep(event, inner))

    parked = async_service.plan(handle, on_error="park", max_attempts=1, adopt=None, parking={"max_attempts": 1})
    turns(parked)
    assert parked_keys(async_service) == {b"k": ("dead", 1, 1)}
    assert "CancelledError" in parked_key(async_service).error_text

    delivered = async_service.plan(handle, on_error="skip", max_attempts=1)
    start = async_service.position() or 0
    drain(delivered, batch(*of_key("c", 1), *of_key("d", 1), start=start))
    assert len(async_service.effects()) == len(KEYS) + 1


def test_a_defect_at_one_key_is_that_keys_failure(any_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    park(any_service, *KEYS)
    original = SequenceGuard.examine

    def examine(self: SequenceGuard, connection: Connection, batch: Any, *given: Any, **named: Any) -> Any:
        if batch.key(0) == b"k":
            raise KeyError("a defect")
        return original(self, connection, batch, *given, **named)

    monkeypatch.setattr(SequenceGuard, "examine", examine)
    turns(parking(any_service, adopt=None, parking={"max_attempts": 3}))

    assert parked_keys(any_service) == {b"k": ("dead", 3, 1)}


def test_a_defect_outside_of_a_try_holds_up_no_other_key(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    park(any_service, *KEYS)
    plan = parking(any_service, adopt=None)
    queues = plan.worker.retry._queues  # type: ignore[union-attr]
    original = queues.first

    def first(connection: Connection, parked: Any) -> Any:
        if parked.key == b"k":
            raise KeyError("a defect")
        return original(connection, parked)

    monkeypatch.setattr(queues, "first", first)
    turns(plan)

    assert parked_keys(any_service) == {b"k": ("retry", 0, 1)}
    assert "in first" in caplog.text


def test_who_is_overtaken_again_and_again_waits_and_says_so(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    park(any_service, "k")
    plan = parking(any_service, adopt=None)

    def overtaken(*_: Any, **__: Any) -> None:
        raise Overtaken("another owner was faster")

    with monkeypatch.context() as faster:
        faster.setattr(SequenceGuard, "record", overtaken)
        assert [turn(plan) for _ in range(3)] == [True, True, False]
    assert "another owner was faster" in caplog.text
    set_key(any_service, next_ms=0)
    turns(plan)
    assert (any_service.effects(), parked_keys(any_service)) == ([("k", 1)], {})


@pytest.mark.parametrize("headers", ["{broken", "{}", "[1]", '[["x", 1]]', '[["x"]]', "null", ""])
def test_a_row_that_somebody_broke_is_its_keys_failure(any_service: Service, headers: str) -> None:
    park(any_service, *KEYS)
    table = any_service.database.tables.parked
    broken = update(table).where(table.c.key == b"k").values(headers=headers)
    any_service.database.run(lambda c: c.execute(broken))

    turns(parking(any_service, adopt=None, parking={"max_attempts": 3}))

    assert set(parked_keys(any_service)) <= {b"k"}
    assert {key for key, _ in any_service.effects()} >= {key for key in KEYS if key != "k"}


def test_a_message_that_ends_the_process_uses_up_its_tries_and_lets_others_go_on(any_service: Service) -> None:
    park(any_service, *KEYS)

    def started_anew() -> InputPlan:
        return parking(
            any_service, adopt=None, parking={"max_attempts": 3, "back_off_initial_interval_ms": 60_000}
        )

    set_key(any_service, next_ms=10)
    for tries in (1, 2, 3):
        _first_due(any_service, b"k")
        with crashing_at("parking.after_handler"), pytest.raises(FailpointError):
            turn(started_anew())
        assert parked_keys(any_service)[b"k"] == ("retry", tries, 1)
        if tries == 1:
            turns(started_anew())
            assert len(any_service.effects()) == len(KEYS) - 1, "others go on, with the key put off"
    _first_due(any_service, b"k")
    turns(started_anew())
    state, _, _ = parked_keys(any_service)[b"k"]
    assert state == "dead"
    assert "the process ended" in parked_key(any_service).error_text


def _first_due(service: Service, key: bytes) -> None:
    table = service.database.tables.parked_key
    service.database.run(lambda c: c.execute(update(table).where(table.c.key == key).values(next_ms=1)))


def test_a_try_that_lasts_is_seen(sync_service: Service) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def handle(event: Event, session: Session) -> None:
        reached.set()
        assert go_on.wait(WITHIN_S)

    park(sync_service, "k")
    plan = parking(sync_service, handle, adopt=None)
    thread = threading.Thread(target=turn, args=(plan,))
    thread.start()
    assert reached.wait(WITHIN_S)
    try:
        eventually(lambda: plan.statistics.figures().longest_s > 0, WITHIN_S, "nothing is seen of it")
    finally:
        go_on.set()
        thread.join(WITHIN_S)
    assert plan.statistics.figures().longest_s == 0


def test_a_worker_that_died_says_so_and_can_be_started_again(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(sync_service, "k")
    worker = parking(sync_service, adopt=None).worker
    assert worker is not None
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    with monkeypatch.context() as broken:
        broken.setattr(worker.retry, "turn", _ends)
        worker.start()
        eventually(lambda: "no more" in (worker.last_error or ""), WITHIN_S, lambda: str(worker.last_error))
    worker.start()
    try:
        eventually(lambda: parked_keys(sync_service) == {}, WITHIN_S, "it was not started again")
        eventually(lambda: worker.last_error is None, WITHIN_S, lambda: str(worker.last_error))
    finally:
        worker.stop(5_000)


def _ends() -> None:
    raise SystemExit


def test_no_key_of_users_stands_in_the_log(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the engine is the application's own, and tells its statements' parameters."""
    park(sync_service, "alice@example.com")
    engine = create_engine(sync_service.database.engine.url, hide_parameters=False)
    database = Database(sessionmaker(engine), loop=sync_service.database.loop)
    plan = parking(Service(database), adopt=None)
    assert plan.worker is not None
    queues = plan.worker.retry._queues
    monkeypatch.setattr(queues, "begin", lambda c, parked, **_: c.execute(_no_such_column(database, parked.key)))

    caplog.clear()
    assert plan.worker._guarded_turn() is not None

    engine.dispose()
    assert "parked keys:" in caplog.text
    assert "alice" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def _no_such_column(database: Database, key: bytes) -> Any:
    from sqlalchemy import literal_column, select

    return select(literal_column("no_such_column")).where(database.tables.parked_key.c.key == key)
