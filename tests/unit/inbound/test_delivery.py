"""What becomes of a batch, whatever keeps its effects."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.binding.binder import Lane
from streambind.binding.outcome import Continue, Outcome, RetryAfter, Seek, Stop
from streambind.configuration.properties import ConsumerProperties, OnError
from streambind.errors import DeliveryError, LifecycleError, PermanentError, SendError, SequenceGapError
from streambind.inbound.delivery import Delivery
from streambind.inbound.failure import Fenced, MessageFailed, Overtaken, Trouble, Unattributed
from streambind.inbound.retry import Budget
from streambind.inbound.statistics import DeliveryStatistics
from streambind.message import Batch, Message
from tests.unit.inbound.batches import ListBatch, batch_of


@dataclass
class ScriptedEffects:
    """Effects of whole transactions: all of `apply` or nothing. `errors` holds what a message raises, by
    payload; `raising` what the next calls raise."""

    errors: dict[bytes, list[Exception]] = field(default_factory=dict)
    raising: list[Exception] = field(default_factory=list)
    applied: list[bytes | None] = field(default_factory=list)
    passed_over: list[bytes | None] = field(default_factory=list)
    calls: list[tuple[int, bool]] = field(default_factory=list)
    position: int | None = None
    unattributed: bool = False

    def apply(self, batch: Batch, count: int, *, singly: bool) -> None:
        self.calls.append((count, singly))
        if self.raising:
            raise self.raising.pop(0)
        for index in range(count):
            if errors := self.errors.get(batch.payload(index) or b""):
                if self.unattributed and not singly:
                    raise Unattributed(errors[0])
                raise MessageFailed(index, errors.pop(0))
        self.applied += [batch.payload(index) for index in range(count)]

    def pass_over(self, batch: Batch, index: int) -> None:
        if self.raising:
            raise self.raising.pop(0)
        self.passed_over.append(batch.payload(index))

    def stored(self, lane: Lane) -> int | None:
        if self.raising:
            raise self.raising.pop(0)
        return self.position


@dataclass
class Letters:
    failures: list[Exception] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)


@dataclass
class Given:
    effects: ScriptedEffects
    letters: Letters
    delivery: Delivery
    statistics: DeliveryStatistics

    def deliver(self, batch: Batch) -> Outcome:
        return self.delivery.deliver(batch)


def given_delivery(on_error: OnError = OnError.STOP, **consumer: Any) -> Given:
    effects, letters, statistics = ScriptedEffects(), Letters(), DeliveryStatistics()
    delivery = Delivery(
        "in-things",
        effects,
        budget=Budget.of(ConsumerProperties(**consumer)),
        on_error=on_error,
        dead_letters=letters,
        statistics=statistics,
    )
    return Given(effects, letters, delivery, statistics)


def a_b_c() -> ListBatch:
    return batch_of(b"a", b"b", b"c", start=10)


def _delay(outcome: Outcome) -> int:
    assert isinstance(outcome.then, RetryAfter), outcome
    return outcome.then.delay_ms


def _stop(outcome: Outcome) -> DeliveryError:
    assert isinstance(outcome.then, Stop), outcome
    assert isinstance(outcome.then.error, DeliveryError)
    return outcome.then.error


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
    assert (first.done, _delay(first)) == (1, 1000)
    assert given.effects.applied == [b"a"]

    rest = batch.after(1)
    assert rest is not None
    second = given.deliver(rest)
    assert (second.done, _delay(second)) == (0, 2000)
    # Tried alone: what stands behind it does not run once per try.
    assert given.deliver(rest) == Outcome(1, Continue())
    assert given.effects.calls == [(3, False), (1, False), (1, True), (1, True)]
    assert given.statistics.figures().retried == 2


def test_a_message_stops_its_partition_when_its_tries_are_used_up() -> None:
    given = given_delivery()
    given.effects.errors[b"a"] = [ValueError(str(n)) for n in range(3)]
    batch = a_b_c()

    assert [_delay(given.deliver(batch)), _delay(given.deliver(batch))] == [1000, 2000]
    error = _stop(given.deliver(batch))

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

    assert "(tried once)" in str(_stop(given.deliver(a_b_c())))


def test_skip_passes_over_the_message_and_says_so() -> None:
    given = given_delivery(OnError.SKIP, max_attempts=1)
    given.effects.errors[b"b"] = [ValueError("x")]

    assert given.deliver(a_b_c()) == Outcome(2, Continue())
    assert given.effects.passed_over == [b"b"]
    assert given.letters.sent == []
    assert given.statistics.figures().skipped == 1


def test_a_dead_letter_is_sent_before_its_message_is_passed_over() -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)
    given.effects.errors[b"b"] = [ValueError("x")]

    assert given.deliver(a_b_c()) == Outcome(2, Continue())
    assert [letter.payload for letter in given.letters.sent] == [b"b"]
    assert dict(given.letters.sent[0].raw_headers)["x-original-offset"] == (11).to_bytes(8, "big")
    assert given.effects.passed_over == [b"b"]
    assert given.statistics.figures().dead_lettered == 1


@pytest.mark.parametrize("refusal", [SendError("no broker"), LifecycleError("not started")])
def test_a_dead_letter_that_cannot_be_sent_is_never_acknowledged(refusal: Exception) -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)
    given.effects.errors[b"b"] = [ValueError("x")]
    given.letters.failures = [refusal] * 20
    batch = a_b_c()

    first = given.deliver(batch)
    assert first.done == 1
    rest = batch.after(1)
    assert rest is not None
    delays = [_delay(first)] + [_delay(given.deliver(rest)) for _ in range(19)]

    assert given.effects.passed_over == []
    assert all(15_000 <= delay <= 30_000 for delay in delays[10:])
    figures = given.statistics.figures()
    assert figures.degraded_since is not None
    assert "its dead letter cannot be sent" in (figures.last_error or "")

    # The message is not tried again for that.
    assert given.deliver(rest) == Outcome(1, Continue())
    assert given.effects.calls == [(3, False), (1, False)]
    assert len(given.letters.sent) == 1
    assert given.statistics.figures().degraded_since is None


def test_a_dead_letter_that_is_too_large_goes_without_its_stack_trace() -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)
    given.effects.errors[b"a"] = [ValueError("x")]
    given.letters.failures = [SendError("too large", permanent=True)]
    batch = a_b_c()

    assert _delay(given.deliver(batch)) <= 100
    assert given.deliver(batch) == Outcome(1, Continue())
    names = [name for name, _ in given.letters.sent[0].raw_headers]
    assert names[-1] == "x-exception-message"


def test_a_dead_letter_is_not_sent_twice_for_trouble_after_it() -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)
    given.effects.errors[b"a"] = [ValueError("x")]
    batch = a_b_c()

    given.effects.raising = []
    original = given.effects.pass_over
    troubles: list[Exception] = [Trouble(OSError("database away"))]

    def pass_over(batch: Batch, index: int) -> None:
        if troubles:
            raise troubles.pop()
        original(batch, index)

    given.effects.pass_over = pass_over  # type: ignore[method-assign]

    assert _delay(given.deliver(batch)) <= 100
    assert given.deliver(batch) == Outcome(1, Continue())
    assert len(given.letters.sent) == 1


def test_a_gap_stops_the_partition_whatever_else_is_configured() -> None:
    given = given_delivery(OnError.DLQ)
    given.effects.errors[b"c"] = [SequenceGapError("number 4 of its key came after number 2")]

    outcome = given.deliver(a_b_c())

    assert outcome.done == 2
    error = _stop(outcome)
    assert isinstance(error, SequenceGapError)
    assert str(error).startswith("in-things: things[0]@12 failed: SequenceGapError: number 4 of its key")
    assert given.letters.sent == []


def test_trouble_is_waited_for_without_limit_and_without_blame() -> None:
    given = given_delivery(max_attempts=1)
    given.effects.raising = [Trouble(OSError("away"), done) for done in (2, *[0] * 30)]

    outcomes = [given.deliver(a_b_c()) for _ in range(31)]

    delays = [_delay(outcome) for outcome in outcomes]
    assert 50 <= delays[0] <= 100
    assert all(15_000 <= delay <= 30_000 for delay in delays[9:])
    assert [outcome.done for outcome in outcomes[:2]] == [2, 0]
    figures = given.statistics.figures()
    assert figures.retried == 0
    assert figures.degraded_since is not None

    assert given.deliver(a_b_c()) == Outcome(3, Continue())
    assert given.statistics.figures().degraded_since is None
    given.effects.raising = [Trouble(OSError("away"))]
    assert _delay(given.deliver(a_b_c())) <= 100


def test_trouble_does_not_use_up_tries() -> None:
    given = given_delivery(max_attempts=2)
    given.effects.errors[b"a"] = [ValueError("x")]
    batch = a_b_c()

    assert _delay(given.deliver(batch)) == 1000
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

    text = str(_stop(given.deliver(a_b_c())))

    assert "in-things: things[0]: its position is no longer in the database; start the binding again" in text


def test_a_position_that_cannot_be_read_is_asked_for_again() -> None:
    given = given_delivery()
    given.effects.raising = [Fenced(None), Trouble(OSError("away"))]

    assert _delay(given.deliver(a_b_c())) <= 100


def test_a_guard_row_that_another_owner_wrote_first_is_read_at_once() -> None:
    given = given_delivery()
    given.effects.raising = [Overtaken(None)]

    assert given.deliver(a_b_c()) == Outcome(0, Continue())
    assert given.deliver(a_b_c()) == Outcome(3, Continue())


def test_a_failure_without_a_known_message_is_looked_for_singly() -> None:
    given = given_delivery()
    given.effects.unattributed = True
    given.effects.errors[b"b"] = [ValueError("x")]

    outcome = given.deliver(a_b_c())

    assert (outcome.done, _delay(outcome)) == (1, 1000)
    assert given.effects.calls == [(3, False), (3, True), (1, True)]


@pytest.mark.parametrize("bad", range(7))
def test_a_refused_commit_is_narrowed_down_to_its_message(bad: int) -> None:
    class RefusesCommit(ScriptedEffects):
        def apply(self, batch: Batch, count: int, *, singly: bool) -> None:
            super().apply(batch, count, singly=singly)
            if any(batch.payload(index) == b"bad" for index in range(count)):
                del self.applied[-count:]
                raise Unattributed(ValueError("deferred constraint"))

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

    assert "things[0]@10 failed: Mute" in str(_stop(given.deliver(a_b_c())))


@given(st.data())
def test_every_message_is_applied_or_passed_over_once_and_in_order(data: st.DataObject) -> None:
    """Whatever fails how often: nothing is lost, doubled or overtaken, and only those whose tries are used up
    become dead letters."""
    count = data.draw(st.integers(1, 8))
    payloads = [str(n).encode() for n in range(count)]
    failures = {p: data.draw(st.integers(0, 4)) for p in payloads}
    given = given_delivery(OnError.DLQ, max_attempts=3)
    given.effects.errors = {p: [ValueError("x")] * times for p, times in failures.items() if times}
    given.effects.unattributed = data.draw(st.booleans())
    given.letters.failures = [SendError("away")] * data.draw(st.integers(0, 3))
    order: list[bytes | None] = []
    _record_order(given.effects, order)

    rest: ListBatch | None = batch_of(*payloads)
    while rest is not None:
        outcome = given.deliver(rest)
        assert isinstance(outcome.then, Continue | RetryAfter)
        if data.draw(st.booleans()):
            given.effects.raising.append(Trouble(OSError("away")))
        rest = rest.after(outcome.done)

    assert order == payloads
    dead = [p for p, times in failures.items() if times >= 3]
    assert [letter.payload for letter in given.letters.sent] == dead == given.effects.passed_over
    assert given.statistics.figures().handled == count


def _record_order(effects: ScriptedEffects, order: list[bytes | None]) -> None:
    apply, pass_over = effects.apply, effects.pass_over

    def applying(batch: Batch, count: int, *, singly: bool) -> None:
        apply(batch, count, singly=singly)
        order.extend(batch.payload(index) for index in range(count))

    def passing_over(batch: Batch, index: int) -> None:
        pass_over(batch, index)
        order.append(batch.payload(index))

    effects.apply, effects.pass_over = applying, passing_over  # type: ignore[method-assign]


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
