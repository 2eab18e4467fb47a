"""An event whose predecessor has not come waits for it; the predecessor may stand in another partition."""

from __future__ import annotations

import uuid

import pytest

from streambind.binding.outcome import Continue, Outcome, Stop
from streambind.errors import LifecycleError, SequenceForkError
from streambind.inbound.parked_messages import ParkedMessages
from tests.integration.inbound.parking import (
    Poison,
    batch,
    of_key,
    parked_key,
    parked_keys,
    parked_messages,
    parking,
    set_key,
    turn,
    turns,
)
from tests.integration.inbound.service import DESTINATION, GROUP, Service, drain, event
from tests.unit.inbound.batches import numbered

HOUR_MS = 3_600_000


def test_a_gap_waits_for_the_predecessor_from_another_partition(service: Service) -> None:
    plan = parking(service)
    drain(plan, batch(*of_key("k", 1), *of_key("a", 1)))

    drain(plan, batch(*of_key("k", 3, 4), *of_key("b", 1), partition=1))
    assert service.effects() == [("k", 1), ("a", 1), ("b", 1)]
    assert parked_keys(service) == {b"k": ("gap", 0, 2)}
    assert "number 3 of its key came after number 1" in parked_key(service).error_text
    assert turns(plan) == 1  # One look, then it sleeps.

    drain(plan, batch(*of_key("k", 2), start=2))
    assert turns(plan) == 3
    assert service.effects()[3:] == [("k", 2), ("k", 3), ("k", 4)]
    assert (parked_keys(service), parked_messages(service)) == ({}, [])
    assert (service.position(0), service.position(1)) == (3, 3)


def test_a_predecessor_that_was_applied_while_its_successor_was_parked_is_found(any_service: Service) -> None:
    """The successor's owner looked before the predecessor's had committed: nothing arrives to wake the key."""
    plan = parking(any_service)
    drain(plan, batch(*of_key("k", 2), partition=1))
    assert turns(plan) == 1
    # As if it had been handled by an owner that saw no parked key.
    table = any_service.database.tables.guard
    identity = {
        "group_name": "readers",
        "destination": "things",
        "source_id": parked_messages(any_service)[0].source_id,
    }
    any_service.insert(table, **identity, key=b"k", epoch=1, seq=1, updated_ms=0)

    row = parked_key(any_service)
    assert row.next_ms - row.updated_ms <= 1_001
    set_key(any_service, next_ms=0)
    turns(plan)
    assert any_service.effects() == [("k", 2)]


def test_a_gap_that_lasts_too_long_is_dead_by_name_and_its_predecessor_still_wakes_it(
    any_service: Service,
) -> None:
    plan = parking(any_service, parking={"gap_timeout_ms": HOUR_MS})
    drain(plan, batch(*of_key("k", 2, 3)))
    turns(plan)
    row = parked_key(any_service)
    assert row.state == "gap"
    set_key(any_service, gap_ms=row.gap_ms - HOUR_MS, next_ms=0)

    assert turns(plan) == 1
    row = parked_key(any_service)
    assert (row.state, row.error_class) == ("dead", "streambind.errors.SequenceGapError")
    assert plan.statistics.figures().dead == 1
    assert turns(plan) == 0

    drain(plan, batch(*of_key("k", 1), partition=1))
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert parked_keys(any_service) == {}


def test_a_message_of_another_key_does_not_revive_a_dead_one(any_service: Service) -> None:
    plan = parking(any_service, Poison(("k", 1)), parking={"max_attempts": 1})
    drain(plan, batch(*of_key("k", 1)))
    turns(plan)
    drain(plan, batch(*of_key("k", 2), start=1))
    assert parked_keys(any_service) == {b"k": ("dead", 1, 2)}
    assert turns(plan) == 0


def test_numbers_decide_between_partitions_the_log_within_one(any_service: Service) -> None:
    """Of one source the lowest number first; two sources keep the order of the log."""
    other = "7d3a2c1e-0000-4000-8000-000000000002"
    theirs = [numbered(event("k", 100 + n), "k", n, source=other) for n in (1, 2)]
    poison = Poison(("k", 1))
    plan = parking(any_service, poison)
    ours = of_key("k", 1, 2, 3)
    drain(plan, batch(ours[0], theirs[0], ours[1], theirs[1], ours[2]))
    poison.fix()
    turns(plan)
    assert [number for _, number in any_service.effects()] == [1, 101, 2, 102, 3]


def test_a_later_event_that_overtook_in_another_partition_waits_its_turn(any_service: Service) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("k", 1)))
    drain(plan, batch(*of_key("k", 3, 4), partition=1))
    drain(plan, batch(*of_key("k", 2), start=1))
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("k", n) for n in (1, 2, 3, 4)]


def test_a_gap_that_shows_while_a_key_drains_waits_too(any_service: Service) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("k", 1, 3)))
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("k", 1)]
    assert parked_keys(any_service) == {b"k": ("gap", 0, 1)}
    drain(plan, batch(*of_key("k", 2), start=2))
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]


def test_duplicates_among_parked_messages_are_passed_over(any_service: Service) -> None:
    poison = Poison(("k", 2))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("k", 1, 2, 1, 2, 3, 2, 3)))
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert plan.statistics.figures().duplicates == 4
    assert parked_keys(any_service) == {}


def test_a_fork_stops_the_partition_and_among_parked_messages_the_key(any_service: Service) -> None:
    forked = numbered(event("k", 1), "k", 1, event_id=uuid.uuid4())
    plan = parking(any_service)
    outcome = drain(plan, batch(*of_key("k", 1), forked))[-1]
    assert isinstance(outcome.then, Stop)
    assert isinstance(outcome.then.error, SequenceForkError)
    assert parked_keys(any_service) == {}

    poison = Poison(("p", 1))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("p", 1), numbered(event("p", 1), "p", 1, event_id=uuid.uuid4()), partition=1))
    poison.fix()
    assert turns(plan) == 2
    row = parked_key(any_service, b"p")
    assert (row.state, row.error_class) == ("dead", "streambind.errors.SequenceForkError")
    assert any_service.effects() == [("k", 1), ("p", 1)]


def test_numbers_are_not_looked_at_where_they_are_ignored(any_service: Service) -> None:
    poison = Poison(("k", 5))
    plan = parking(any_service, poison, sequence="ignore")
    drain(plan, batch(*of_key("k", 5, 2, 2)))
    assert [row.seq for row in parked_messages(any_service)] == [None] * 3
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("k", 5), ("k", 2), ("k", 2)]


def test_a_gap_stops_where_the_binding_does_not_park(any_service: Service) -> None:
    for on_error in ("stop", "skip"):
        outcome = parking(any_service, on_error=on_error).deliver(batch(*of_key("k", 2)))
        assert isinstance(outcome.then, Stop)
    assert parking(any_service).deliver(batch(*of_key("k", 2))) == Outcome(1, Continue())
    assert turn(parking(any_service))


FORGER = "11111111-0000-4000-8000-000000000009"


def stored(service: Service) -> ParkedMessages:
    return ParkedMessages(service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")


def ids(service: Service) -> list[int]:
    return [row.id for row in parked_messages(service)]


def test_a_gap_of_one_source_does_not_hold_up_the_others(any_service: Service) -> None:
    """Anyone can write a number whose predecessor never comes; and behind it stand the key's own events."""
    plan = parking(any_service, Poison(("k", 3)), parking={"gap_timeout_ms": HOUR_MS, "max_attempts": 1000})
    drain(plan, batch(*of_key("k", 1)))
    forged = [numbered(event("k", 666), "k", n, source=FORGER) for n in (5, 6)]
    drain(plan, batch(forged[0], *of_key("k", 2), forged[1], start=1))
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert parked_key(any_service).state == "gap"
    since_ms = parked_key(any_service).gap_ms

    drain(plan, batch(*of_key("k", 3), start=4))
    turn(plan)
    assert parked_keys(any_service)[b"k"] == ("retry", 1, 3), "a failure of the other source's is one"
    mended = parking(any_service, adopt=None, parking={"gap_timeout_ms": HOUR_MS})
    turns(mended)
    drain(mended, batch(*of_key("k", 4), start=5))
    turns(mended)
    assert any_service.effects() == [("k", n) for n in (1, 2, 3, 4)]
    assert (parked_keys(any_service), len(ids(any_service))) == ({b"k": ("gap", 0, 2)}, 2)
    assert parked_key(any_service).gap_ms >= since_ms


def test_a_message_that_waits_for_what_nobody_sent_can_be_taken_out(any_service: Service) -> None:
    plan = parking(any_service, parking={"gap_timeout_ms": 0})
    forged = numbered(event("k", 666), "k", 5, source=FORGER)
    drain(plan, batch(*of_key("k", 1), forged))
    turns(plan)
    assert parked_keys(any_service) == {b"k": ("dead", 0, 1)}
    desk, queue = stored(any_service), (DESTINATION, b"k")
    with pytest.raises(LifecycleError, match="cannot be left out"):
        desk.skip(queue, ids(any_service))

    assert desk.skip(queue, ids(any_service), force=True) == 1

    assert (parked_keys(any_service), parked_messages(any_service)) == ({}, [])
    drain(plan, batch(*of_key("k", 2), start=2))
    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert any_service.guarded() == {b"k": (1, 2)}, "its number was not written down"


def test_only_what_is_named_is_taken_out(any_service: Service) -> None:
    plan = parking(any_service, parking={"gap_timeout_ms": 0})
    drain(plan, batch(*of_key("k", 1, 3, 4, 5)))
    turns(plan)
    desk, queue = stored(any_service), (DESTINATION, b"k")
    first, second, third = ids(any_service)
    assert desk.skip(queue, [second], force=True) == 1
    assert ids(any_service) == [first, third]
    drain(plan, batch(*of_key("k", 2), start=4))
    turns(plan)
    assert any_service.effects() == [("k", n) for n in (1, 2, 3)]
    assert parked_key(any_service).error_text == "number 5 of its key came after number 3"


def test_a_lost_predecessor_can_be_given_up(any_service: Service) -> None:
    plan = parking(any_service, parking={"gap_timeout_ms": 0})
    forged = numbered(event("k", 666), "k", 5, source=FORGER)
    drain(plan, batch(*of_key("k", 1, 3, 4), forged, *of_key("new", 7, 8)))
    turns(plan)
    desk = stored(any_service)
    named = [row.id for row in parked_messages(any_service) if row.source_id != FORGER]
    assert desk.retry([(DESTINATION, b"k"), (DESTINATION, b"new")]) == 2
    turns(plan)
    assert any_service.effects() == [("k", 1)]

    assert desk.retry([(DESTINATION, b"k"), (DESTINATION, b"new")], accept_gaps=named) == 2
    turns(plan)

    assert sorted(any_service.effects()) == [("k", 1), ("k", 3), ("k", 4), ("new", 7), ("new", 8)]
    assert any_service.guarded() == {b"k": (1, 4), b"new": (1, 8)}
    assert parked_keys(any_service) == {b"k": ("dead", 0, 1)}, "the forged one was not named"
    drain(plan, batch(*of_key("k", 2), start=6))
    turns(plan)
    assert ("k", 2) not in any_service.effects(), "what comes after all would undo the later ones"
