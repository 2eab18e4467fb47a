"""What becomes of a message whose tries are used up, where keys are parked."""

from __future__ import annotations

import pytest

from streambind.binding.outcome import Continue, Outcome
from streambind.configuration.properties import OnError
from streambind.errors import ParkingLimitError, SequenceForkError, SequenceGapError
from streambind.inbound.failure import MessageFailed, Trouble
from streambind.message import Batch
from tests.unit.inbound.scripted import Given, a_b_c, delay_of, given_delivery, stop_of


def test_the_message_is_parked_and_the_partition_goes_on() -> None:
    given = given_delivery(OnError.PARK, max_attempts=1)
    error = ValueError("x")
    given.effects.errors[b"b"] = [error]

    assert given.deliver(a_b_c()) == Outcome(2, Continue())
    assert given.effects.parked == [(b"b", error)]
    assert (given.effects.passed_over, given.letters.sent) == ([], [])
    assert given.statistics.figures().parked == 1


def test_a_gap_is_parked_at_once_and_does_not_stop() -> None:
    given = given_delivery(OnError.PARK, max_attempts=3)
    given.effects.errors[b"b"] = [SequenceGapError("2 after 0")]

    assert given.deliver(a_b_c()) == Outcome(2, Continue())
    assert [payload for payload, _ in given.effects.parked] == [b"b"]


@pytest.mark.parametrize("on_error", [OnError.STOP, OnError.DLQ, OnError.SKIP])
def test_a_gap_stops_where_nothing_is_parked(on_error: OnError) -> None:
    given = given_delivery(on_error, max_attempts=3)
    given.effects.errors[b"b"] = [SequenceGapError("2 after 0")]

    outcome = given.deliver(a_b_c())
    assert outcome.done == 1
    assert "consumer.on-error: park" in str(stop_of(outcome))
    assert given.effects.parked == []


def test_a_fork_stops_although_keys_are_parked() -> None:
    given = given_delivery(OnError.PARK)
    given.effects.errors[b"a"] = [SequenceForkError("two histories")]

    assert isinstance(stop_of(given.deliver(a_b_c())), SequenceForkError)
    assert given.effects.parked == []


def _park_raises(given: Given, *raised: Exception) -> None:
    waiting = list(raised)
    original = given.effects.park

    def park(batch: Batch, index: int, error: Exception) -> None:
        if waiting:
            raise waiting.pop(0)
        original(batch, index, error)

    given.effects.park = park  # type: ignore[method-assign]


def test_trouble_while_parking_is_tried_again_without_trying_the_message_again() -> None:
    given = given_delivery(OnError.PARK, max_attempts=1)
    given.effects.errors[b"a"] = [ValueError("x")]
    _park_raises(given, Trouble(OSError("database away")))
    batch = a_b_c()

    assert delay_of(given.deliver(batch)) <= 100
    assert given.deliver(batch) == Outcome(1, Continue())
    assert given.effects.calls == [(3, False)]
    assert [payload for payload, _ in given.effects.parked] == [b"a"]


def test_a_full_parking_stops_the_partition_by_name_and_with_the_remedy() -> None:
    given = given_delivery(OnError.PARK, max_attempts=1)
    given.effects.errors[b"b"] = [ValueError("x")]
    _park_raises(given, MessageFailed(1, ParkingLimitError("7 keys of things are parked already")))

    outcome = given.deliver(a_b_c())
    assert outcome.done == 1
    stopped = stop_of(outcome)
    assert isinstance(stopped, ParkingLimitError)
    assert "raise consumer.parking.max-keys" in str(stopped)


def test_while_keys_fail_en_masse_the_message_is_held_where_it_is() -> None:
    given = given_delivery(OnError.PARK, max_attempts=1, back_off_initial_interval_ms=1000)
    given.effects.errors[b"a"] = [ValueError("x")] * 6
    given.effects.holding = True
    batch = a_b_c()

    outcomes = [given.deliver(batch) for _ in range(5)]
    assert [delay_of(outcome) for outcome in outcomes] == [1000, 2000, 4000, 8000, 10_000]
    assert "so many keys fail" in repr(outcomes[0].then)
    assert given.effects.parked == []

    given.effects.holding = False
    assert given.deliver(batch) == Outcome(1, Continue())
    assert [payload for payload, _ in given.effects.parked] == [b"a"]
