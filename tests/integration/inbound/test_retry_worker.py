"""The worker's thread: when it tries, when it stands still, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind.binders.memory.binder import MemoryBinder
from streambind.binders.memory.properties import (
    MemoryProducerProperties,
)
from streambind.binding.binder import ProducerTarget
from streambind.configuration.properties import ProducerProperties
from streambind.inbound.input import InputPlan
from streambind.inbound.retry_worker import RetryWorker
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.integration.inbound.memory import bind
from tests.integration.inbound.parking import Poison, batch, of_key, parked_keys
from tests.integration.inbound.parking import parking as parking_input
from tests.integration.inbound.service import DESTINATION, Event, Service, drain, keep

WITHIN_S = 30.0
NEVER_MS = 3_600_000
PATIENT = {"max_attempts": 10**9, "back_off_initial_interval_ms": 20, "back_off_max_interval_ms": 20}


@pytest.fixture
def workers() -> Iterator[list[RetryWorker]]:
    """Those that a test has started: stopped at its end."""
    started: list[RetryWorker] = []
    yield started
    for worker in started:
        worker.stop(5_000)


def parking(service: Service, handler: Any = keep, **settings: Any) -> InputPlan:
    """No number of tries makes a key dead: how many there are while a test goes on is open."""
    settings["parking"] = PATIENT | settings.get("parking", {})
    return parking_input(service, handler, **settings)


def started(plan: InputPlan, workers: list[RetryWorker]) -> RetryWorker:
    worker = plan.worker
    assert worker is not None
    worker.start()
    workers.append(worker)
    return worker


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "in-things-parked"]


def drains(service: Service) -> None:
    eventually(lambda: parked_keys(service) == {}, WITHIN_S, lambda: str(parked_keys(service)))


def test_nothing_runs_before_the_start_and_after_the_stop(service: Service, workers: list[RetryWorker]) -> None:
    plan = parking(service, Poison(("k", 1)))
    drain(plan, batch(*of_key("k", 1)))
    assert threads() == []

    worker = started(parking(service, adopt=None), workers)
    worker.start()
    assert len(threads()) == 1
    drains(service)
    assert service.effects() == [("k", 1)]
    worker.stop(5_000)
    worker.stop(5_000)
    assert threads() == []


def test_parking_in_this_process_wakes_it(any_service: Service, workers: list[RetryWorker]) -> None:
    """It has looked, found nothing, and would look again in an hour."""
    poison = Poison(("k", 1))
    plan = parking(any_service, poison, parking={"poll_interval_ms": NEVER_MS})
    worker = started(plan, workers)
    eventually(lambda: worker._idle_s >= 1, WITHIN_S, "it never became idle")
    drain(plan, batch(*of_key("k", 1)))
    poison.fix()
    drains(any_service)


def test_what_others_have_parked_is_found_by_polling(any_service: Service, workers: list[RetryWorker]) -> None:
    started(parking(any_service, parking={"poll_interval_ms": 50}), workers)
    drain(parking(any_service, Poison(("k", 1)), adopt=None), batch(*of_key("k", 1)))
    drains(any_service)


def test_it_sleeps_until_the_next_key_is_due(any_service: Service, workers: list[RetryWorker]) -> None:
    settings = {"poll_interval_ms": NEVER_MS, "back_off_initial_interval_ms": 300, "back_off_max_interval_ms": 300}
    poison = Poison(("k", 1))
    plan = parking(any_service, poison, parking=settings)
    started(plan, workers)
    drain(plan, batch(*of_key("k", 1)))
    poison.fix()
    drains(any_service)
    assert poison.tried == [("k", 1), ("k", 1)]


def test_paused_it_tries_nothing_until_it_is_resumed(any_service: Service, workers: list[RetryWorker]) -> None:
    plan = parking(any_service, parking={"poll_interval_ms": 50})
    other = parking(any_service, Poison(("k", 1), ("k", 2)), adopt=None)
    worker = started(plan, workers)
    worker.pause()
    assert worker._guarded_turn() is None
    drain(other, batch(*of_key("k", 1)))
    worker.wake()
    assert any_service.effects() == []
    worker.resume()
    drains(any_service)


def test_stop_lets_the_running_try_end(sync_service: Service, workers: list[RetryWorker]) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def handle(event: Event, session: Session) -> None:
        reached.set()
        assert go_on.wait(WITHIN_S)
        keep(event, session)

    drain(parking(sync_service, Poison(("k", 1))), batch(*of_key("k", 1)))
    worker = started(parking(sync_service, handle, adopt=None), workers)
    assert reached.wait(WITHIN_S)
    stopping = threading.Thread(target=worker.stop, args=(30_000,))
    stopping.start()
    go_on.set()
    stopping.join(WITHIN_S)
    assert sync_service.effects() == [("k", 1)]
    assert threads() == []


def test_stop_returns_within_its_time(sync_service: Service, caplog: pytest.LogCaptureFixture) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def handle(event: Event, session: Session) -> None:
        reached.set()
        assert go_on.wait(WITHIN_S)

    drain(parking(sync_service, Poison(("k", 1))), batch(*of_key("k", 1)))
    plan = parking(sync_service, handle, adopt=None)
    assert plan.worker is not None
    plan.worker.start()
    assert reached.wait(WITHIN_S)
    thread = next(each for each in threading.enumerate() if each.name == "in-things-parked")
    plan.worker.stop(50)
    assert "a parked message was still being tried after 50 ms" in caplog.text
    go_on.set()
    thread.join(WITHIN_S)
    assert not thread.is_alive()


def test_trouble_is_told_and_tried_again(any_service: Service, workers: list[RetryWorker]) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison, parking={"poll_interval_ms": 50})
    drain(plan, batch(*of_key("k", 1)))
    raised: list[Exception] = [OSError("a defect"), OSError("again")]
    assert plan.worker is not None
    original = plan.worker.retry.turn

    def turn() -> Any:
        if raised:
            raise raised.pop()
        return original()

    plan.worker.retry.turn = turn  # type: ignore[method-assign]
    assert plan.worker._guarded_turn() is not None
    assert "parked keys: OSError: again" in (plan.worker.last_error or "")
    poison.fix()
    worker = started(plan, workers)
    drains(any_service)
    eventually(lambda: worker.last_error is None, WITHIN_S, lambda: str(worker.last_error))


def test_while_keys_fail_en_masse_no_tries_are_used_up(any_service: Service) -> None:
    poison = Poison(*[(key, 1) for key in "abcde"])
    settings = {"mass_failure_keys": 3, "mass_failure_share": 0.5, "mass_failure_window_ms": NEVER_MS}
    plan = parking(any_service, poison, parking=settings)
    records = batch(*[each for key in "abcde" for each in of_key(key, 1)])

    first, second, held = (plan.deliver(records.after(done) or records) for done in (0, 1, 2))
    assert (first.done, second.done, held.done) == (1, 1, 0)
    assert "so many keys fail" in repr(held.then)
    assert sorted(parked_keys(any_service)) == [b"a", b"b"]
    assert any_service.position() == 2
    assert plan.worker is not None
    plan.worker._guarded_turn()
    assert poison.tried.count(("a", 1)) == 1

    poison.fix()
    rest = records.after(2)
    assert rest is not None
    drain(plan, rest)
    assert any_service.effects() == [("c", 1), ("d", 1), ("e", 1)]


def test_it_lives_and_rests_with_its_binding(any_service: Service, binder: MemoryBinder) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison, adopt=None, parking={"poll_interval_ms": 50})
    properties = ProducerProperties(partition_count=1)
    target = ProducerTarget("out-things", DESTINATION, properties, MemoryProducerProperties())
    producer = binder.bind_producer(target)
    consumer = plan.accompany(bind(binder, plan))
    try:
        assert len(threads()) == 1
        consumer.pause()
        for record in of_key("k", 1, 2):
            producer.send([Message(record.payload, record.key, raw_headers=record.headers)])
        consumer.resume()
        eventually(lambda: parked_keys(any_service), WITHIN_S, lambda: str(consumer.partitions()))
        poison.fix()
        expected = [("k", 1), ("k", 2)]
        eventually(
            lambda: any_service.effects() == expected, WITHIN_S, lambda: str((any_service.effects(), threads()))
        )
    finally:
        consumer.unbind(5_000)
    assert threads() == []
