"""What is read of a batch before its turn comes, and what becomes of it then."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from streambind.binding.outcome import Outcome, Stop
from streambind.inbound import guard, replica_rows
from streambind.inbound.input import InputPlan
from streambind.inbound.replica_events import ReplicaEvents, Said
from streambind.message import Batch
from streambind.read_ahead import ReadAhead
from tests.integration.inbound.replicas import Item, changed, items, rows
from tests.integration.inbound.service import DESTINATION, Service, keep
from tests.unit.inbound.batches import ListBatch, Record


@pytest.fixture(autouse=True)
def reads_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "READ_AT_ONCE", 1)
    monkeypatch.setattr(replica_rows, "READ_AT_ONCE", 1)


def read_ahead(plan: InputPlan, *records: Record, steps: int = 100) -> ListBatch:
    batch = ListBatch([*records], 0, DESTINATION)
    batch.ahead = ReadAhead(batch, plan.readers)
    for _ in range(steps):
        batch.ahead.step()
    return batch


THREE = [changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1), changed("UPDATE", 1, "c", seq=2)]


@pytest.mark.parametrize("steps", [0, 2, 4, 100])
def test_what_was_read_counts_and_the_rest_is_read_in_its_turn(sync_service: Service, steps: int) -> None:
    plan = sync_service.plan(Item)
    batch = read_ahead(plan, *THREE, steps=steps)
    assert plan.deliver(batch) == Outcome(3)
    assert items(sync_service) == {1: "c", 2: "b"}
    assert sync_service.guarded() == {b"1": (1, 2), b"2": (1, 1)}


def test_nothing_is_read_twice(sync_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    quickly = ReplicaEvents.read_quickly

    def counted(self: ReplicaEvents, batch: Batch, indexes: range) -> list[Said] | None:
        read.extend(indexes)
        return quickly(self, batch, indexes)

    monkeypatch.setattr(ReplicaEvents, "read_quickly", counted)
    plan = sync_service.plan(Item)
    batch = read_ahead(plan, *THREE)
    assert read == [0, 1, 2]
    assert batch.asked_headers == [0, 1, 2]
    plan.deliver(batch)
    assert read == [0, 1, 2]
    assert sorted(batch.asked_headers[3:]) == [
        1,
        2,
        2,
    ]  # The last of each key for its id, the last of all for its time.


def test_a_message_that_cannot_be_read_fails_when_its_turn_has_come(sync_service: Service) -> None:
    plan = sync_service.plan(Item, max_attempts=1)
    batch = read_ahead(plan, changed("INSERT", 1, "a", seq=1), changed("RENAME", 2, seq=1), THREE[2])
    assert sync_service.position() == 0
    outcome = plan.deliver(batch)
    assert outcome.done == 1
    assert isinstance(outcome.then, Stop)
    assert "things[0]@1 failed: DecodeError" in str(outcome.then.error)
    assert items(sync_service) == {1: "a"}
    assert sync_service.guarded() == {b"1": (1, 1)}


def test_headers_that_cannot_be_read_fail_when_their_turn_has_come(sync_service: Service) -> None:
    plan = sync_service.plan(Item, max_attempts=1)
    unreadable = Record(THREE[1].payload, b"2", unreadable=True)
    outcome = plan.deliver(read_ahead(plan, THREE[0], unreadable))
    assert outcome.done == 1
    assert isinstance(outcome.then, Stop)
    assert items(sync_service) == {1: "a"}


def test_duplicates_are_passed_over_whatever_was_read(sync_service: Service) -> None:
    plan = sync_service.plan(Item)
    again = changed("INSERT", 1, "a", seq=1)
    plan.deliver(read_ahead(plan, THREE[0], THREE[2], again))
    assert rows(sync_service, select(Item.id, Item.name)) == [(1, "c")]


def test_who_reads_ahead(sync_service: Service) -> None:
    """A replica that is alone knows what it will want of each message. Handlers take longer than reading."""
    kinds = {
        "replica": [sync_service.plan(Item)],
        "without numbers": [sync_service.plan(Item, sequence="ignore")],
        "with others": [sync_service.plan(Item, sync_service.listener(keep)), sync_service.keeping()],
    }
    found = {
        name: {tuple(type(r).__name__ for r in plan.readers) for plan in plans} for name, plans in kinds.items()
    }
    assert found == {
        "replica": {("SequenceGuard", "ReplicaRows")},
        "without numbers": {("ReplicaRows",)},
        "with others": {()},
    }
