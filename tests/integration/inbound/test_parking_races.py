"""Who parks and who drains at the same moment: forced by locks, one order after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome
from streambind.inbound import parked_keys as parked_keys_module
from streambind.inbound.input import InputPlan
from streambind.persistence.postgresql import PostgreSQL
from tests.integration.inbound.parking import (
    Poison,
    batch,
    of_key,
    parked_keys,
    parked_messages,
    parking,
    plain,
    turn,
    turns,
)
from tests.integration.inbound.service import Event, Service, drain, keep
from tests.integration.inbound.test_guard_races import wait_for_lock

DEADLINE_S = 30


class StandsStill:
    """A handler that stands still at one event until it may go on."""

    def __init__(self, at: tuple[str, int], *, fails: bool = False) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._at, self._fails = at, fails

    def __call__(self, event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if (event.key, event.number) == self._at:
            self.reached.set()
            assert self.go_on.wait(DEADLINE_S)
            if self._fails:
                raise ValueError("poison")


class Aside:
    """Something done in a thread of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        self.result = work()

    def is_waiting(self) -> bool:
        self._thread.join(0.2)
        return self._thread.is_alive()

    def end(self) -> Any:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.result


def test_who_lets_a_message_wait_waits_for_the_worker_that_takes_the_last_one(sync_service: Service) -> None:
    service = sync_service
    drain(parking(service, Poison(("k", 1))), batch(*plain("k", 1)))
    still = StandsStill(("k", 1))
    worker, owner = parking(service, still), parking(service)

    draining = Aside(lambda: turn(worker))
    assert still.reached.wait(DEADLINE_S)
    delivering = Aside(lambda: owner.deliver(batch(*plain("k", 2), start=1)))
    assert delivering.is_waiting()
    still.go_on.set()

    assert draining.end()
    assert delivering.end() == Outcome(1, Continue())
    assert service.effects() == [("k", 1), ("k", 2)]
    assert (parked_keys(service), parked_messages(service)) == ({}, [])


def test_the_worker_passes_by_a_key_that_is_being_appended_to(locking_service: Service) -> None:
    service = locking_service
    drain(parking(service, Poison(("k", 1))), batch(*plain("k", 1)))
    still = StandsStill(("a", 1))
    worker, owner = parking(service), parking(service, still)

    delivering = Aside(lambda: owner.deliver(batch(*plain("k", 2), *plain("a", 1), start=1)))
    assert still.reached.wait(DEADLINE_S)
    assert not turn(worker)
    still.go_on.set()

    assert delivering.end() == Outcome(2, Continue())
    turns(worker)
    assert service.effects() == [("a", 1), ("k", 1), ("k", 2)]


def _parks_while_the_worker_has_the_key(service: Service) -> tuple[Aside, Aside, StandsStill]:
    """The owner of partition 1 has seen no parked key when it began with k 2; meanwhile k 1 of partition 0 was
    parked, and a worker has it in hand when k 2 fails."""
    second, first = StandsStill(("k", 2), fails=True), StandsStill(("k", 1))
    owner, worker, other = parking(service, second), parking(service, first), parking(service, Poison(("k", 1)))
    failing = Aside(lambda: owner.deliver(batch(*plain("k", 2), partition=1)))
    assert second.reached.wait(DEADLINE_S)
    drain(other, batch(*plain("k", 1)))
    draining = Aside(lambda: turn(worker))
    assert first.reached.wait(DEADLINE_S)
    second.go_on.set()
    return failing, draining, first


def test_a_key_that_is_parked_while_a_worker_empties_it_is_parked_anew(locking_service: Service) -> None:
    service = locking_service
    failing, draining, first = _parks_while_the_worker_has_the_key(service)
    wait_for_lock(service, "INSERT INTO sb_parked_key")
    first.go_on.set()

    assert draining.end()
    assert failing.end() == Outcome(1, Continue())
    assert parked_keys(service) == {b"k": ("retry", 0, 1)}
    turns(parking(service))
    assert service.effects() == [("k", 1), ("k", 2)]
    assert parked_messages(service) == []


@contextmanager
def _between_parking_and_commit(service: Service, patch: pytest.MonkeyPatch) -> Iterator[InputPlan]:
    """k 1 of partition 0 is parked, and the owner of partition 1 has just parked k 2 behind it."""
    still, parked, commits = StandsStill(("k", 2), fails=True), threading.Event(), threading.Event()
    owner, worker, other = parking(service, still), parking(service), parking(service, Poison(("k", 1)))
    failing = Aside(lambda: owner.deliver(batch(*plain("k", 2), partition=1)))
    assert still.reached.wait(DEADLINE_S)
    drain(other, batch(*plain("k", 1)))

    def failpoint(name: str) -> None:
        if name == "parking.after_message":
            parked.set()
            assert commits.wait(DEADLINE_S)

    patch.setattr(parked_keys_module, "failpoint", failpoint)
    still.go_on.set()
    assert parked.wait(DEADLINE_S)
    yield worker
    commits.set()
    assert failing.end() == Outcome(1, Continue())


def test_a_worker_passes_by_a_key_that_is_being_parked(
    locking_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _between_parking_and_commit(locking_service, monkeypatch) as worker:
        assert not turn(worker)
    turns(worker)
    assert locking_service.effects() == [("k", 1), ("k", 2)]
    assert (parked_keys(locking_service), parked_messages(locking_service)) == ({}, [])


def test_the_races_reject_parking_that_does_not_lock_the_key(
    postgres_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ON CONFLICT DO NOTHING: the message stays behind without its key, and nobody will ever handle it."""

    def add(
        self: PostgreSQL, connection: Connection, table: Table, rows: list[dict[str, Any]], column: str
    ) -> Any:
        connection.execute(insert(table).values(rows).on_conflict_do_nothing())
        return connection.execute(select(table)).all()

    with monkeypatch.context() as patch:
        service = postgres_service
        service.plan(keep)
        patch.setattr(PostgreSQL, "add", add)
        with _between_parking_and_commit(service, patch) as worker:
            assert turn(worker)
    turns(worker)
    assert parked_keys(service) == {}
    assert len(parked_messages(service)) == 1


def test_of_two_workers_one_has_a_key_and_the_other_goes_on(locking_service: Service) -> None:
    service = locking_service
    drain(parking(service, Poison(("a", 1), ("b", 1))), batch(*of_key("a", 1, 2), *of_key("b", 1, 2)))
    still = StandsStill(("a", 1))
    slow, fast = parking(service, still), parking(service)

    draining = Aside(lambda: turn(slow))
    assert still.reached.wait(DEADLINE_S)
    assert turns(fast) == 2
    assert service.effects() == [("b", 1), ("b", 2)]
    still.go_on.set()
    assert draining.end()
    turns(fast)
    assert [number for key, number in service.effects() if key == "a"] == [1, 2]


def test_many_workers_keep_the_order_of_every_key(locking_service: Service) -> None:
    service = locking_service
    keys = [f"k{n}" for n in range(6)]
    drain(
        parking(service, Poison(*[(key, 1) for key in keys])),
        batch(*[each for n in (1, 2, 3, 4, 5) for key in keys for each in of_key(key, n)]),
    )
    workers = [Aside(partial(turns, parking(service))) for _ in range(4)]
    for worker in workers:
        worker.end()
    turns(parking(service))

    effects = service.effects()
    assert len(effects) == 30
    assert all([n for k, n in effects if k == key] == [1, 2, 3, 4, 5] for key in keys)
    assert (parked_keys(service), parked_messages(service)) == ({}, [])


def _owner_and_worker_have_the_same_event(service: Service) -> tuple[Aside, InputPlan, StandsStill]:
    """k 1 is in both partitions; the owner of partition 1 is in its handler when that of 0 parks the key."""
    still = StandsStill(("k", 1))
    owner, other = parking(service, still), parking(service, Poison(("k", 1)))
    delivering = Aside(lambda: owner.deliver(batch(*of_key("k", 1), partition=1)))
    assert still.reached.wait(DEADLINE_S)
    drain(other, batch(*of_key("k", 1)))
    return delivering, owner, still


def test_the_guard_decides_between_an_owner_and_a_faster_worker(locking_service: Service) -> None:
    service = locking_service
    delivering, owner, still = _owner_and_worker_have_the_same_event(service)
    assert turn(parking(service, adopt=None))
    still.go_on.set()
    assert delivering.end() == Outcome(0, Continue())  # Overtaken.
    assert owner.deliver(batch(*of_key("k", 1), partition=1)) == Outcome(1, Continue())
    assert service.effects() == [("k", 1)]


def test_the_guard_decides_between_a_worker_and_a_faster_owner(locking_service: Service) -> None:
    service = locking_service
    delivering, _, owner_still = _owner_and_worker_have_the_same_event(service)
    still = StandsStill(("k", 1))
    worker = parking(service, still, adopt=None)
    draining = Aside(lambda: turn(worker))
    assert still.reached.wait(DEADLINE_S)
    owner_still.go_on.set()
    assert delivering.end() == Outcome(1, Continue())
    still.go_on.set()
    assert draining.end()
    turns(worker)
    assert service.effects() == [("k", 1)]
    assert worker.statistics.figures().duplicates == 1
    assert parked_keys(service) == {}


def test_a_parked_key_drains_elsewhere_when_its_partition_has_moved(service: Service) -> None:
    """The old owner parked it; the new one appends, and a third instance drains: nothing is kept in memory."""
    poison = Poison(("k", 1))
    drain(parking(service, poison), batch(*of_key("k", 1, 2)))
    drain(parking(service, poison), batch(*of_key("k", 3), *of_key("a", 1), start=2))
    zombie = parking(service, poison)
    assert "Seek(offset=4)" in repr(zombie.deliver(batch(*of_key("k", 3), start=2)))
    turns(parking(service))
    assert service.effects() == [("a", 1), ("k", 1), ("k", 2), ("k", 3)]
