"""A compacted destination lacks what a later event of its key follows: a missing number is no gap there."""

from __future__ import annotations

from streambind.binding.binder import Identity, Lane
from streambind.inbound.input import InputPlan
from tests.integration.inbound.parking import parked_keys, parking, turns
from tests.integration.inbound.service import DESTINATION, Service, drain, event
from tests.unit.inbound.batches import ListBatch, Record, numbered

GAPS = {"gap_timeout_ms": 3_600_000}


def told(plan: InputPlan, is_compacted: bool | None) -> None:
    """As a binder does when it starts the partitions, or compares."""
    assert plan.positions is not None
    lanes = [Lane(DESTINATION, partition) for partition in (0, 1)]
    plan.positions.identify(lanes, {DESTINATION: Identity("cluster", "topic", is_compacted)})


def event_of(key: str, number: int) -> Record:
    return numbered(event(key, number), key, number)


def left() -> ListBatch:
    """What compaction leaves of a#1, a#2, b#1, a#3, b#2, b#3, b#4; a relay had sent a#3 again."""
    records = [event_of("a", 3), event_of("b", 1), event_of("b", 4), event_of("a", 3)]
    return ListBatch(records, offsets=[3, 4, 6, 7], before=0)


def test_what_is_left_of_each_key_is_applied_once(service: Service) -> None:
    plan = parking(service)
    told(plan, True)

    drain(plan, left())

    assert service.effects() == [("a", 3), ("b", 1), ("b", 4)]
    assert service.guarded() == {b"a": (1, 3), b"b": (1, 4)}
    assert parked_keys(service) == {}
    assert plan.statistics.figures().duplicates == 1


def test_an_older_event_that_comes_later_is_passed_over(any_service: Service) -> None:
    plan = parking(any_service)
    told(plan, True)

    drain(plan, ListBatch([event_of("a", 3)]))
    drain(plan, ListBatch([event_of("a", 2)], partition=1))

    assert any_service.effects() == [("a", 3)]


def test_elsewhere_they_wait_for_what_is_missing(any_service: Service) -> None:
    for unknown in (False, None):
        plan = parking(any_service, parking=GAPS)
        told(plan, unknown)

    drain(plan, left())

    assert any_service.effects() == [("b", 1)]
    assert {key: state for key, (state, _, _) in parked_keys(any_service).items()} == {b"a": "gap", b"b": "gap"}


def test_what_waits_is_applied_once_the_destination_is_compacted(any_service: Service) -> None:
    plan = parking(any_service, parking=GAPS)
    told(plan, False)
    drain(plan, left())

    told(plan, True)
    later = ListBatch([event_of("a", 7), event_of("b", 9)], start=8)
    drain(plan, later)  # Later ones of a key have the worker look.
    turns(plan)

    of_keys = sorted(any_service.effects(), key=lambda effect: effect[0])
    assert of_keys == [("a", 3), ("a", 7), ("b", 1), ("b", 4), ("b", 9)]
    assert parked_keys(any_service) == {}


def test_an_epoch_that_anyone_made_up_stops_the_partition_and_silences_no_key(any_service: Service) -> None:
    plan = parking(any_service)
    told(plan, True)

    forged = numbered(event("a", 99), "a", 5, epoch=1_000)
    drain(plan, ListBatch([event_of("a", 3), forged, event_of("a", 7)]))

    assert any_service.position(0) == 1
    drain(plan, ListBatch([event_of("a", 9)], partition=1))
    assert any_service.effects() == [("a", 3), ("a", 9)]
    assert any_service.guarded() == {b"a": (1, 9)}


def test_a_policy_that_is_not_told_stays_what_it_was(any_service: Service) -> None:
    plan = parking(any_service)
    told(plan, True)
    told(plan, None)

    drain(plan, ListBatch([event_of("a", 3)]))

    assert any_service.effects() == [("a", 3)]
