"""What becomes of a message whose tries are used up: a dead letter, or nothing but a log entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.binding.outcome import Continue, Outcome, RetryAfter, Stop
from streambind.configuration.properties import OnError
from streambind.errors import DecodeError, DestinationError, LifecycleError, SendError, SequenceForkError
from streambind.inbound.failure import MessageFailed, Overtaken, Trouble
from streambind.message import Batch, Message
from tests.unit.inbound.batches import ListBatch, batch_of
from tests.unit.inbound.scripted import Given, ScriptedEffects, a_b_c, delay_of, given_delivery, stop_of


def test_skip_passes_over_the_message_and_says_so() -> None:
    given = given_delivery(OnError.SKIP, max_attempts=1)
    given.effects.errors[b"b"] = [ValueError("x")]

    assert given.deliver(a_b_c()) == Outcome(2, Continue())
    assert given.effects.passed_over == [b"b"]
    assert given.letters.sent == []
    assert given.statistics.figures().skipped == 1


@pytest.mark.parametrize("on_error", [OnError.SKIP, OnError.STOP])
@pytest.mark.parametrize(
    ("error", "traced"), [(DecodeError("the payload cannot be read as int"), False), (ValueError("round"), True)]
)
def test_a_payload_that_does_not_fit_is_one_line_of_the_log_and_a_handlers_error_has_its_traceback(
    on_error: OnError, error: Exception, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    given = given_delivery(on_error, max_attempts=1)
    with pytest.raises(type(error)):
        raise error
    given.effects.errors[b"b"] = [error]
    given.deliver(a_b_c())

    [message] = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert str(error) in message.splitlines()[0]
    assert ("Traceback" in message) is traced
    assert (len(message.splitlines()) > 1) is traced


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
    delays = [delay_of(first)] + [delay_of(given.deliver(rest)) for _ in range(19)]

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


def test_a_dead_letter_that_is_too_large_whatever_is_left_out_stops_the_partition() -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)
    given.effects.errors[b"b"] = [ValueError("x")]
    given.letters.failures = [SendError("too large", permanent=True)]

    outcome = given.deliver(a_b_c())

    assert outcome.done == 1
    assert "can never be sent: SendError: too large" in str(stop_of(outcome))
    assert "raise max.message.bytes of the dead-letter topic" in str(stop_of(outcome))
    assert given.effects.passed_over == []


def test_a_dead_letter_topic_that_takes_nothing_is_waited_for() -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)
    given.effects.errors[b"a"] = [ValueError("x")]
    refusal = SendError("refused", permanent=True)
    refusal.__cause__ = DestinationError("it does not exist")
    given.letters.failures = [refusal]
    batch = a_b_c()

    assert delay_of(given.deliver(batch)) <= 100
    assert given.deliver(batch) == Outcome(1, Continue())
    assert given.letters.sent[0].raw_headers[-1][0] == "x-exception-stacktrace"


def _fails_at_two_and_meets(given: Given, *met: Exception) -> list[Outcome]:
    """The second of three messages is given up; passing over it meets what is given, once each."""
    given.effects.errors[b"b"] = [ValueError("x")]
    waiting = list(met)
    original = given.effects.pass_over

    def pass_over(batch: Batch, index: int, letter: Message | None) -> None:
        if waiting:
            raise waiting.pop(0)
        original(batch, index, letter)

    given.effects.pass_over = pass_over  # type: ignore[method-assign]
    outcomes: list[Outcome] = []
    rest: ListBatch | None = a_b_c()
    while rest is not None:
        outcomes.append(given.deliver(rest))
        if isinstance(outcomes[-1].then, Stop):
            break
        rest = rest.after(outcomes[-1].done)
    return outcomes


@pytest.mark.parametrize("met", [Trouble(OSError("away")), Overtaken(None)])
def test_what_came_before_a_message_that_cannot_be_passed_over_yet_stays_done(met: Exception) -> None:
    given = given_delivery(OnError.DLQ, max_attempts=1)

    outcomes = _fails_at_two_and_meets(given, met)

    assert [outcome.done for outcome in outcomes] == [1, 1, 1]
    assert len(given.letters.sent) == 1
    assert given.effects.applied == [b"a", b"c"]


def test_a_message_that_is_no_longer_the_next_of_its_key_is_not_passed_over() -> None:
    given = given_delivery(OnError.SKIP, max_attempts=1)

    outcomes = _fails_at_two_and_meets(given, MessageFailed(1, SequenceForkError("two versions")))

    assert outcomes[0].done == 1
    assert isinstance(stop_of(outcomes[0]), SequenceForkError)


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
    given.effects.at_most = data.draw(st.integers(1, 4))
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

    def applying(batch: Batch, count: int, *, singly: bool) -> int:
        done = apply(batch, count, singly=singly)
        order.extend(batch.payload(index) for index in range(done))
        return done

    def passing_over(batch: Batch, index: int, letter: Message | None) -> None:
        pass_over(batch, index, letter)
        order.append(batch.payload(index))

    effects.apply, effects.pass_over = applying, passing_over  # type: ignore[method-assign]
