"""One key in two partitions (their number was raised, and the sender repeated a record): both owners at once.

Deterministic on PostgreSQL: an owner stands still in its handler until the other one has come as far as it can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome
from streambind.inbound.guard import Examination, SequenceGuard
from streambind.inbound.input import InputPlan
from streambind.persistence.dialect import Dialect
from tests.integration.inbound.service import DESTINATION, Event, Service, event, keep
from tests.unit.inbound.batches import ListBatch, numbered

DEADLINE_S = 30


def fourth(partition: int, *numbers: int, start: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start, DESTINATION, partition)


class Owner:
    """One owner of one partition, in a thread; its handler stands still where the test wants it."""

    def __init__(self, service: Service, batch: ListBatch, *, stands_still: bool = False) -> None:
        self.in_handler = threading.Event()
        self.go_on = threading.Event()
        self.outcome: Outcome | None = None
        self.handled: list[int] = []
        if not stands_still:
            self.go_on.set()

        def handle(event: Event, session: Session) -> None:
            keep(event, session)
            session.flush()
            self.handled.append(event.number)
            self.in_handler.set()
            assert self.go_on.wait(DEADLINE_S)

        self.plan: InputPlan = service.plan(handle, adopt=None)
        self._thread = threading.Thread(target=self._deliver, args=(batch,))
        self._thread.start()

    def _deliver(self, batch: ListBatch) -> None:
        self.outcome = self.plan.deliver(batch)

    def end(self) -> Outcome:
        self._thread.join(DEADLINE_S)
        assert self.outcome is not None
        return self.outcome


def wait_for_lock(service: Service, statement: str) -> None:
    """Return when a session of the database waits for a lock in such a statement."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :statement")
    _until(lambda: service.database.run(lambda c: c.scalar(query, {"statement": f"{statement}%"})) == 1)


def _until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(DEADLINE_S * 50):
        if holds():
            return
        pause.wait(0.02)
    pytest.fail("the other owner never came to wait for the lock")


def test_a_known_key_is_locked_the_second_owner_sees_the_first_ones_number(postgres_service: Service) -> None:
    service = postgres_service
    service.plan(keep).deliver(fourth(0, 1, 2, 3))

    first = Owner(service, fourth(0, 4, start=3), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 4))
    wait_for_lock(service, "SELECT sb_guard")
    first.go_on.set()

    assert (first.end(), second.end()) == (Outcome(1, Continue()), Outcome(1, Continue()))
    assert service.effects() == [("k", n) for n in (1, 2, 3, 4)]
    assert (first.handled, second.handled) == ([4], [])
    assert second.plan.statistics.figures().duplicates == 1
    assert (service.position(0), service.position(1)) == (4, 1)


def test_a_new_key_that_two_owners_handle_at_once_has_the_effects_of_one(postgres_service: Service) -> None:
    """There is no row to lock yet: both handlers run, and the slower owner is rolled back and sees why."""
    service = postgres_service
    service.plan(keep)
    first = Owner(service, fourth(0, 1), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 1), stands_still=True)
    assert second.in_handler.wait(DEADLINE_S)
    first.go_on.set()
    assert first.end() == Outcome(1, Continue())
    second.go_on.set()

    assert second.end() == Outcome(0, Continue())
    assert service.effects() == [("k", 1)]
    assert second.plan.deliver(fourth(1, 1)) == Outcome(1, Continue())
    assert service.effects() == [("k", 1)]
    assert second.plan.statistics.figures().duplicates == 1


def test_the_slower_owner_waits_for_the_faster_ones_new_key(postgres_service: Service) -> None:
    """Inserting a key that another transaction has inserted waits for its end, whichever way it ends."""
    service = postgres_service
    service.plan(keep)
    first = Owner(service, fourth(0, 1), stands_still=True)
    second = Owner(service, fourth(1, 1))
    assert first.in_handler.wait(DEADLINE_S)
    assert second.end() == Outcome(1, Continue())
    first.go_on.set()

    assert first.end() == Outcome(0, Continue())
    assert service.effects() == [("k", 1)]


def test_two_owners_of_many_keys_do_not_deadlock(postgres_service: Service) -> None:
    """Rows are locked in the order of their keys, whatever their order in the batch."""
    service = postgres_service
    keys = [f"k{n}" for n in range(40)]
    rounds = 15

    def batch(partition: int, number: int) -> ListBatch:
        order = keys if partition == 0 else keys[::-1]
        records = [numbered(event(key, number), key, number) for key in order]
        return ListBatch(records, (number - 1) * len(keys), DESTINATION, partition)

    plans = [service.plan(keep) for _ in (0, 1)]
    troubles: list[Outcome] = []

    def own(partition: int) -> None:
        for number in range(1, rounds + 1):
            outcome = plans[partition].deliver(batch(partition, number))
            while outcome == Outcome(0, Continue()):
                outcome = plans[partition].deliver(batch(partition, number))
            if outcome != Outcome(len(keys), Continue()):
                troubles.append(outcome)
                return

    # Only number 1 of both partitions may come at the same time: later ones could be gaps for the other one.
    threads = [threading.Thread(target=own, args=(partition,)) for partition in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)

    gaps = [outcome for outcome in troubles if "SequenceGapError" in repr(outcome)]
    assert troubles == gaps
    effects = service.effects()
    assert len(set(effects)) == len(effects)


def test_the_races_reject_a_guard_that_reads_without_locking(
    postgres_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = postgres_service
    service.plan(keep).deliver(fourth(0, 1, 2, 3))
    monkeypatch.setattr(Dialect, "row_locks", False)

    first = Owner(service, fourth(0, 4, start=3), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 4), stands_still=True)
    assert second.in_handler.wait(DEADLINE_S)
    first.go_on.set()
    first.end()
    second.go_on.set()
    second.end()

    assert service.effects().count(("k", 4)) == 2


def test_the_races_reject_a_guard_that_overwrites_a_new_key(
    postgres_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = postgres_service
    service.plan(keep)

    def record(self: SequenceGuard, connection: Connection, destination: str, found: Examination) -> None:
        for chain, last in found.applied.items():
            values = {"source_id": chain.source_id, "key": chain.key, "epoch": last.epoch, "seq": last.seq}
            identity = {"group_name": self._group, "destination": destination, "updated_ms": 0}
            statement = insert(self._table).values(**identity, **values).on_conflict_do_nothing()
            connection.execute(statement)

    monkeypatch.setattr(SequenceGuard, "record", record)

    first = Owner(service, fourth(0, 1), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 1))
    assert second.in_handler.wait(DEADLINE_S)
    first.go_on.set()
    first.end()
    second.end()

    assert service.effects().count(("k", 1)) == 2
