"""What becomes of a batch, whatever keeps its effects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from streambind.binding.outcome import Continue, Outcome, RetryAfter, Seek, Stop
from streambind.configuration.properties import OnError
from streambind.errors import PermanentError, PositionLostError, SequenceGapError
from streambind.inbound.failure import Fenced, Overtaken, Trouble, Unattributed
from streambind.inbound.statistics import DeliveryStatistics
from streambind.message import Batch
from tests.unit.inbound.batches import ListBatch, batch_of
from tests.unit.inbound.scripted import ScriptedEffects, a_b_c, delay_of, given_delivery, stop_of


def test_a_batch_that_goes_well_is_done() -> None:
    given = given_delivery()

    assert given.deliver(a_b_c()) == Outcome(3, Continue())
    assert given.effects.calls == [(3, False)]
    assert given.statistics.figures().handled == 3


def test_what_comes_before_a_failing_message_is_done_and_the_message_tried_again_after_a_pause() -> None:
    given = given_delivery()
    given.effects.errors[b"b"] = [ValueError("1"), ValueError("2")]
    batch = a_b_c()

    first = given.deliver(batch)
    assert (first.done, delay_of(first)) == (1, 1000)
    assert given.effects.applied == [b"a"]

    rest = batch.after(1)
    assert rest is not None
    second = given.deliver(rest)
    assert (second.done, delay_of(second)) == (0, 2000)
    # Tried alone: what stands behind it does not run once per try.
    assert given.deliver(rest) == Outcome(1, Continue())
    assert given.effects.calls == [(3, False), (1, False), (1, True), (1, True)]
    assert given.statistics.figures().retried == 2


def test_a_message_stops_its_partition_when_its_tries_are_used_up() -> None:
    given = given_delivery()
    given.effects.errors[b"a"] = [ValueError(str(n)) for n in range(3)]
    batch = a_b_c()

    assert [delay_of(given.deliver(batch)), delay_of(given.deliver(batch))] == [1000, 2000]
    error = stop_of(given.deliver(batch))

    text = (
        "in-things: things[0]@10 failed: ValueError: 2 (tried 3 times); mend the cause and start the binding again"
    )
    assert str(error).startswith(text)
    assert isinstance(error.__cause__, ValueError)
    assert given.effects.applied == []
    assert given.statistics.figures().handled == 0


def test_a_started_again_binding_gives_the_message_a_fresh_budget() -> None:
    given = given_delivery(max_attempts=2)
    given.effects.errors[b"a"] = [ValueError("x")] * 4
    batch = a_b_c()

    outcomes = [given.deliver(batch) for _ in range(4)]

    assert [type(outcome.then) for outcome in outcomes] == [RetryAfter, Stop, RetryAfter, Stop]


def test_a_permanent_failure_is_not_tried_again() -> None:
    given = given_delivery()
    given.effects.errors[b"a"] = [PermanentError("poison")]

    assert "(tried once)" in str(stop_of(given.deliver(a_b_c())))


def test_a_gap_stops_the_partition_whatever_else_is_configured() -> None:
    given = given_delivery(OnError.DLQ)
    given.effects.errors[b"c"] = [SequenceGapError("number 4 of its key came after number 2")]

    outcome = given.deliver(a_b_c())

    assert outcome.done == 2
    error = stop_of(outcome)
    assert isinstance(error, SequenceGapError)
    assert str(error).startswith("in-things: things[0]@12 failed: SequenceGapError: number 4 of its key")
    assert given.letters.sent == []


def test_trouble_is_waited_for_without_limit_and_without_blame() -> None:
    given = given_delivery(max_attempts=1)
    given.effects.raising = [Trouble(OSError("away"), done) for done in (2, *[0] * 30)]

    outcomes = [given.deliver(a_b_c()) for _ in range(31)]

    delays = [delay_of(outcome) for outcome in outcomes]
    assert 50 <= delays[0] <= 100
    assert all(15_000 <= delay <= 30_000 for delay in delays[9:])
    assert len(set(delays[9:])) > 1  # So that many instances do not come back at once.
    assert [outcome.done for outcome in outcomes[:2]] == [2, 0]
    figures = given.statistics.figures()
    assert figures.retried == 0
    assert figures.degraded_since is not None

    assert given.deliver(a_b_c()) == Outcome(3, Continue())
    assert given.statistics.figures().degraded_since is None
    given.effects.raising = [Trouble(OSError("away"))]
    assert delay_of(given.deliver(a_b_c())) <= 100


def test_trouble_does_not_use_up_tries() -> None:
    given = given_delivery(max_attempts=2)
    given.effects.errors[b"a"] = [ValueError("x")]
    batch = a_b_c()

    assert delay_of(given.deliver(batch)) == 1000
    given.effects.raising = [Trouble(OSError("away"))] * 5
    for _ in range(5):
        given.deliver(batch)
    assert given.deliver(batch) == Outcome(1, Continue())


def test_another_owners_move_is_followed() -> None:
    given = given_delivery()
    given.effects.raising = [Fenced(None)]
    given.effects.position = 42

    assert given.deliver(a_b_c()) == Outcome(0, Seek(42))
    assert given.statistics.figures().fenced == 1


def test_a_position_that_is_gone_stops_the_partition() -> None:
    given = given_delivery()
    given.effects.raising = [Fenced(None)]

    outcome = given.deliver(a_b_c())

    assert isinstance(outcome.then, Stop)
    assert isinstance(outcome.then.error, PositionLostError)
    assert str(outcome.then.error) == (
        "in-things: things[0]: its position is no longer in the database; to go on here: streambind positions "
        "reset TARGET in-things --to 10 --partition 0; or start the binding again to begin as a new group does"
    )


def test_a_position_that_cannot_be_read_is_asked_for_again() -> None:
    given = given_delivery()
    given.effects.raising = [Fenced(None), Trouble(OSError("away"))]

    assert delay_of(given.deliver(a_b_c())) <= 100


def test_a_guard_row_that_another_owner_wrote_first_is_read_at_once() -> None:
    given = given_delivery()
    given.effects.raising = [Overtaken(None)]

    assert given.deliver(a_b_c()) == Outcome(0, Continue())
    assert given.deliver(a_b_c()) == Outcome(3, Continue())


def test_who_is_overtaken_again_and_again_waits_longer_and_longer_and_says_so() -> None:
    given = given_delivery()
    given.effects.raising = [Overtaken("another owner was faster") for _ in range(12)]

    outcomes = [given.deliver(a_b_c()) for _ in range(12)]

    assert outcomes[0] == Outcome(0, Continue())
    assert sum(delay_of(outcome) for outcome in outcomes[1:]) > 30_000
    assert "another owner was faster" in (given.statistics.figures().last_error or "")
    assert given.deliver(a_b_c()) == Outcome(3, Continue())
    assert given.statistics.figures().degraded_since is None


def test_a_failure_without_a_known_message_is_looked_for_singly() -> None:
    given = given_delivery()
    given.effects.unattributed = True
    given.effects.errors[b"b"] = [ValueError("x")]

    outcome = given.deliver(a_b_c())

    assert (outcome.done, delay_of(outcome)) == (1, 1000)
    assert given.effects.calls == [(3, False), (3, True), (1, True)]


@pytest.mark.parametrize("bad", range(7))
def test_a_refused_commit_is_narrowed_down_to_its_message(bad: int) -> None:
    class RefusesCommit(ScriptedEffects):
        def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
            done = super().apply(batch, count, singly=singly)
            if any(batch.payload(index) == b"bad" for index in range(count)):
                del self.applied[-count:]
                raise Unattributed(ValueError("deferred constraint"))
            return done

    given = given_delivery(OnError.SKIP, max_attempts=1)
    effects = RefusesCommit()
    given.delivery._effects = effects
    rest: ListBatch | None = batch_of(*[b"bad" if n == bad else b"ok" for n in range(7)])

    deliveries = 0
    while rest is not None:
        outcome = given.deliver(rest)
        assert isinstance(outcome.then, Continue)
        rest = rest.after(outcome.done)
        deliveries += 1
        assert deliveries < 20

    assert effects.applied == [b"ok"] * 6
    assert effects.passed_over == [b"bad"]


def test_lanes_do_not_share_what_is_remembered() -> None:
    given = given_delivery(max_attempts=2)
    given.effects.errors[b"x"] = [ValueError("x")] * 4
    lanes = [batch_of(b"x", partition=partition) for partition in (0, 1)]

    outcomes = [given.deliver(batch) for batch in (*lanes, *lanes)]

    assert [type(outcome.then) for outcome in outcomes] == [RetryAfter, RetryAfter, Stop, Stop]


def test_nothing_is_remembered_of_lanes_that_fare_well() -> None:
    given = given_delivery()
    given.effects.errors[b"a"] = [ValueError("x")]
    given.deliver(a_b_c())
    given.deliver(a_b_c())

    assert given.delivery._lanes == {}


def test_a_failing_message_that_another_owner_passed_is_forgotten() -> None:
    given = given_delivery(max_attempts=2)
    given.effects.errors = {b"a": [ValueError("x")], b"c": [ValueError("x")]}
    batch = a_b_c()
    given.deliver(batch)

    rest = batch.after(2)
    assert rest is not None
    assert isinstance(given.deliver(rest).then, RetryAfter)  # A first try, not a second.


def test_an_error_that_cannot_be_told_is_told_by_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    given = given_delivery(max_attempts=1)
    given.effects.errors[b"a"] = [Mute()]

    assert "things[0]@10 failed: Mute" in str(stop_of(given.deliver(a_b_c())))


def test_a_binding_is_degraded_while_any_of_its_lanes_is() -> None:
    given = given_delivery()
    first, second = (batch_of(b"x", partition=partition) for partition in (0, 1))
    given.effects.raising = [Trouble(OSError("away"))]
    given.deliver(first)

    given.deliver(second)
    assert given.statistics.figures().degraded_since is not None

    given.deliver(first)
    assert given.statistics.figures().degraded_since is None


def test_a_lane_in_trouble_that_was_given_away_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    given = given_delivery()
    first, second = (batch_of(b"x", partition=partition) for partition in (0, 1))
    given.effects.raising = [Trouble(OSError("away"))]
    given.deliver(first)

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    given.deliver(second)

    assert given.statistics.figures().degraded_since is None


def test_statistics_add_up_from_many_threads() -> None:
    statistics = DeliveryStatistics()

    def count() -> None:
        for _ in range(1000):
            statistics.count(handled=1, duplicates=2)

    _in_threads(count, 4)

    assert (statistics.figures().handled, statistics.figures().duplicates) == (4000, 8000)


def _in_threads(work: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
