"""What the tests of replicas must notice: each thing that makes a table what its source says, taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.inbound import replica
from streambind.inbound.replica_rows import ReplicaRows
from streambind.message import Batch
from tests.integration.inbound.replicas import Item, Kept, Offer, changed, items, rows, tombstone
from tests.integration.inbound.service import DESTINATION, Service
from tests.unit.inbound.batches import ListBatch


class TheFirstCounts(ReplicaRows):
    """Of what several messages say of a row, it takes the first."""

    def apply_alone(self, batch: Batch, indexes: Sequence[int], session: Session | AsyncSession) -> None:
        super().apply_alone(batch, indexes[::-1], session)


class DeletesLast(ReplicaRows):
    """Rows that are deleted and come back are not deleted in between."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._keeps_rows = True


class DeletesFirst(ReplicaRows):
    """Rows that stay when they are deleted are marked before they come."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._keeps_rows = False


def _items(service: Service, **consumer: Any) -> dict[int, str]:
    """What becomes of two items, one of which is deleted before its first event comes again."""
    events = [
        changed("INSERT", 1, "a", seq=1),
        changed("INSERT", 2, "b", seq=1),
        changed("UPDATE", 1, "c", seq=2),
        tombstone("2", seq=2),
        changed("INSERT", 2, "b", seq=1),
    ]
    service.plan(Item, **consumer).deliver(ListBatch(events, 0, DESTINATION))
    return items(service)


def _note_of_what_came_back(service: Service) -> list[tuple[Any, ...]]:
    plan = service.plan(Offer)
    plan.deliver(ListBatch([changed("INSERT", 1, "a", seq=1)], 0, DESTINATION))
    service.database.run(lambda c: c.execute(update(Offer.__table__).values(note="seen")))  # type: ignore[arg-type]
    back = [changed("DELETE", 1, seq=2), changed("INSERT", 1, "b", seq=3)]
    plan.deliver(ListBatch(back, 1, DESTINATION))
    return rows(service, select(Offer.name, Offer.note))


def _kept(service: Service) -> list[tuple[Any, ...]]:
    events = [changed("INSERT", 1, "a", seq=1), changed("DELETE", 1, seq=2)]
    service.plan(Kept).deliver(ListBatch(events, 0, DESTINATION))
    return rows(service, select(Kept.name, Kept.deleted_at.is_not(None)))


def test_a_stale_event_does_not_bring_a_row_back(sync_service: Service) -> None:
    assert _items(sync_service) == {1: "c"}


def test_the_tests_reject_a_replica_that_does_not_look_at_numbers(sync_service: Service) -> None:
    assert _items(sync_service, sequence="ignore") == {1: "c", 2: "b"}


def test_the_tests_reject_a_replica_that_takes_the_first_event_of_a_batch(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "ReplicaRows", TheFirstCounts)
    assert _items(sync_service) == {1: "a", 2: "b"}


def test_a_row_that_comes_back_is_a_new_one(sync_service: Service) -> None:
    assert _note_of_what_came_back(sync_service) == [("b", "new")]


def test_the_tests_reject_a_replica_that_does_not_delete_what_comes_back(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "ReplicaRows", DeletesLast)
    assert _note_of_what_came_back(sync_service) == [("b", "seen")]


def test_a_row_that_came_in_the_same_batch_is_marked_as_deleted(sync_service: Service) -> None:
    assert _kept(sync_service) == [("a", True)]


def test_the_tests_reject_a_replica_that_marks_rows_before_they_come(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "ReplicaRows", DeletesFirst)
    assert _kept(sync_service) == []
