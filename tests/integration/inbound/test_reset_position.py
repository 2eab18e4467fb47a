"""Moving a position by hand: by compare-and-set, and what is left out is no gap."""

from __future__ import annotations

import pytest

from streambind.binding.binder import Identity, Lane
from streambind.binding.outcome import Outcome, Seek
from streambind.inbound.stored_positions import (
    Reset,
    StoredPosition,
    reset_position,
    same_place,
    stored_positions,
)
from tests.integration.inbound.service import DESTINATION, GROUP, Service, event
from tests.unit.inbound.batches import ListBatch, numbered

LANE = Lane(DESTINATION, 0)
NOW = Identity("cluster", "topic")


def numbers(*values: int, start: int, key: str = "k") -> ListBatch:
    return ListBatch([numbered(event(key, n), key, n) for n in values], start, DESTINATION)


def seen(service: Service) -> StoredPosition:
    return stored_positions(service.database)[GROUP, LANE]


def reset(service: Service, to: int, *, skips: bool = False) -> bool:
    return reset_position(service.database, GROUP, LANE, lambda _: Reset(to, "offset", NOW, skips))


def test_it_is_moved_from_where_it_is_then(any_service: Service) -> None:
    any_service.keeping()
    before = seen(any_service)
    assert (before.offset, before.start_offset) == (0, 0)
    assert reset(any_service, 7)

    def unless_moved(found: StoredPosition | None) -> Reset | None:
        return Reset(9, "offset", NOW, skips=False) if same_place(found, before) else None

    assert not reset_position(any_service.database, GROUP, LANE, unless_moved)
    after = seen(any_service)
    assert (after.offset, after.identity) == (7, NOW)


def test_one_that_was_never_stored_is_stored(any_service: Service) -> None:
    found: list[StoredPosition | None] = []

    def to(position: StoredPosition | None) -> Reset:
        found.append(position)
        return Reset(7, "offset", NOW, skips=False)

    assert reset_position(any_service.database, GROUP, LANE, to)
    assert found == [None]
    assert (seen(any_service).offset, seen(any_service).start_offset) == (7, 7)


def test_who_works_on_it_goes_on_where_it_is(any_service: Service) -> None:
    plan = any_service.keeping()
    assert plan.deliver(numbers(1, start=0)) == Outcome(1)
    assert reset(any_service, 5)
    assert plan.deliver(numbers(2, start=1)) == Outcome(0, Seek(5))
    assert any_service.effects() == [("k", 1)]


def test_what_is_left_out_is_no_gap_once(any_service: Service) -> None:
    plan = any_service.keeping(on_error="stop")
    assert plan.deliver(numbers(1, start=0)) == Outcome(1)
    assert reset(any_service, 5, skips=True)
    assert plan.deliver(numbers(6, start=5)) == Outcome(1)
    # A key that was never seen may begin within, too.
    assert plan.deliver(numbers(4, start=6, key="other")) == Outcome(1)
    # From then on numbers are dense again.
    outcome = plan.deliver(numbers(8, start=7))
    assert "SequenceGapError" in repr(outcome.then)
    assert any_service.effects() == [("k", 1), ("k", 6), ("other", 4)]


def test_what_comes_again_is_passed_over(any_service: Service) -> None:
    plan = any_service.keeping()
    assert plan.deliver(numbers(1, 2, start=0)) == Outcome(2)
    assert reset(any_service, 0)
    assert plan.deliver(numbers(1, 2, 3, start=0)) == Outcome(3)
    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]


@pytest.mark.parametrize(("back_to", "start_offset"), [(2, 2), (4, 4), (9, 4)])
def test_where_the_group_began_follows_back_only(sync_service: Service, back_to: int, start_offset: int) -> None:
    sync_service.keeping(adopt=(4, "committed"))
    assert reset(sync_service, back_to)
    assert seen(sync_service).start_offset == start_offset
