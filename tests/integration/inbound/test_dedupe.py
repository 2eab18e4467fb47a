"""`consumer.dedupe`: messages of others are handled once by an id that they carry, however often they come."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from streambind.errors import ConfigurationError
from streambind.inbound.input import InputPlan
from streambind.testing.eventually import eventually
from tests.integration.inbound.parking import parked_keys, parking, turns
from tests.integration.inbound.service import Event, Service, drain, event, keep
from tests.integration.inbound.test_guard_races import wait_for_lock
from tests.unit.inbound.batches import ListBatch, Record, record
from tests.unit.inbound.planning import plan as plan_without_database

ID = "headers['id']"


def _record(number: int, message_id: object, key: str | None = "k") -> Record:
    """As a foreign producer writes it: the id is plain bytes, no type map names it."""
    plain = record(event(key or "none", number), key)
    headers: list[tuple[str, bytes | None]] = [("id", message_id)] if isinstance(message_id, bytes) else []
    return Record(plain.payload, plain.key, headers)


def _numbers(service: Service) -> list[int]:
    return [number for _, number in service.effects()]


def _deliver(plan: InputPlan, *records: Record, start: int = 0, partition: int = 0) -> None:
    drain(plan, ListBatch(list(records), start, partition=partition))


def test_a_repetition_has_no_effect_whenever_it_comes(service: Service) -> None:
    plan = service.keeping(dedupe=ID)
    _deliver(plan, _record(1, b"a"), _record(2, b"b"), _record(3, b"a"))
    _deliver(plan, _record(4, b"b"), _record(5, b"c"), start=3)

    assert _numbers(service) == [1, 2, 5]
    assert service.position() == 5
    assert plan.statistics.figures().duplicates == 2


def test_a_repetition_in_another_partition_too(any_service: Service) -> None:
    plan = any_service.keeping(dedupe=ID)
    _deliver(plan, _record(1, b"a"))
    _deliver(plan, _record(2, b"a"), _record(3, b"b"), partition=1)
    assert _numbers(any_service) == [1, 3]


def test_a_message_without_an_id_is_always_handled(any_service: Service) -> None:
    plan = any_service.keeping(dedupe=ID)
    _deliver(plan, _record(1, None), _record(2, None))
    assert _numbers(any_service) == [1, 2]


def test_the_id_may_stand_in_the_payload_and_be_of_any_length(any_service: Service) -> None:
    plan = any_service.keeping(dedupe="payload.key")
    long = "x" * 500
    _deliver(plan, record(event(long, 1)), record(event(long + "y", 2)), record(event(long, 3)))
    assert _numbers(any_service) == [1, 2]


def test_the_id_of_a_failed_message_is_not_kept(any_service: Service) -> None:
    failures = [RuntimeError("not yet")]

    def fails_once(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if failures:
            raise failures.pop()

    plan = any_service.keeping(fails_once, dedupe=ID, max_attempts=3)
    _deliver(plan, _record(1, b"a"), _record(2, b"a"))
    assert _numbers(any_service) == [1]


def test_a_parked_message_is_handled_once_too(any_service: Service) -> None:
    broken = True

    def handle(event: Event, session: Session) -> None:
        if broken:
            raise RuntimeError("not yet")
        keep(event, session)

    plan = parking(any_service, handle, dedupe=ID)
    _deliver(plan, _record(1, b"a"), _record(2, b"a"))
    assert _numbers(any_service) == []
    broken = False
    assert turns(plan) == 2
    assert _numbers(any_service) == [1]
    assert parked_keys(any_service) == {}


def test_an_id_that_is_no_text_is_its_messages_failure(any_service: Service) -> None:
    plan = any_service.keeping(dedupe="payload", on_error="skip")
    _deliver(plan, _record(1, b"a"))
    assert _numbers(any_service) == []
    assert "consumer.dedupe should name text" in (plan.statistics.figures().last_error or "")


def test_two_owners_that_meet_the_same_id_at_once_make_one_effect(locking_service: Service) -> None:
    first_works, second_waits = threading.Event(), threading.Event()

    def slow(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 1:
            first_works.set()
            assert second_waits.wait(20)

    plan = locking_service.keeping(slow, dedupe=ID)
    thread = threading.Thread(target=_deliver, args=(plan, _record(1, b"a")))
    thread.start()
    assert first_works.wait(20)
    other = threading.Thread(target=_deliver, args=(plan, _record(2, b"a")), kwargs={"partition": 1})
    other.start()
    wait_for_lock(locking_service, "INSERT INTO sb_inbox")
    second_waits.set()
    thread.join(20)
    other.join(20)
    assert _numbers(locking_service) == [1]
    assert locking_service.position(1) == 1


def test_old_ids_are_forgotten_by_the_worker(any_service: Service) -> None:
    plan = any_service.keeping(dedupe=ID)
    _deliver(plan, _record(1, b"old"), _record(2, b"new"))
    table = any_service.database.tables.inbox
    old = update(table).where(table.c.message_id == b"old").values(seen_ms=0)
    any_service.database.run(lambda c: c.execute(old))

    assert plan.worker is not None
    plan.worker.start()
    try:
        eventually(lambda: any_service.count(table) < 2, 20, "nothing was forgotten")
    finally:
        plan.worker.stop(5_000)
    assert any_service.database.run(lambda c: c.scalars(select(table.c.message_id)).all()) == [b"new"]


def test_what_cannot_work_is_found_before_anything_starts(any_service: Service) -> None:
    with pytest.raises(ConfigurationError, match=r"consumer.dedupe: expression 'payload\(\)'"):
        any_service.keeping(dedupe="payload()")

    def without_session(payload: dict[str, int]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"no listener takes a Session"):
        plan_without_database(without_session, dedupe=ID)
