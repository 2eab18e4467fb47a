"""What becomes of a failing message by the class of its error, and the plan that tells it in advance."""

from __future__ import annotations

import pytest

from streambind.binding.outcome import Continue, Outcome
from streambind.configuration.parking_properties import ParkingProperties
from streambind.configuration.properties import ConsumerProperties, OnError
from streambind.inbound.error_policy import ErrorPolicy
from streambind.inbound.failure_plan import Step, failure_plan
from streambind.inbound.retry import Budget
from tests.unit.inbound.planning import plan
from tests.unit.inbound.scripted import a_b_c, given_delivery, stop_of


class Gone(LookupError):
    """An error of the user's own."""


POLICY = ErrorPolicy(
    OnError.STOP, {"Gone": OnError.SKIP, "LookupError": OnError.DLQ, f"{__name__}.Unused": OnError.DLQ}
)


@pytest.mark.parametrize(
    ("error", "choice"),
    [(Gone(), OnError.SKIP), (KeyError(), OnError.DLQ), (ValueError(), OnError.STOP)],
    ids=["by its own name", "by that of its base", "else"],
)
def test_the_nearest_class_that_is_named_decides(error: Exception, choice: OnError) -> None:
    assert POLICY.of(error) is choice


def test_a_class_may_go_by_its_full_name() -> None:
    assert ErrorPolicy(OnError.STOP, {f"{__name__}.Gone": OnError.SKIP}).of(Gone()) is OnError.SKIP


def test_each_error_meets_its_own_fate() -> None:
    policy = {"Gone": OnError.SKIP, "KeyError": OnError.DLQ, "OSError": OnError.PARK}
    given = given_delivery(OnError.STOP, policy, max_attempts=1)
    given.effects.errors = {b"a": [Gone()], b"b": [KeyError("k")], b"c": [ValueError("x")]}
    batch = a_b_c()

    assert given.deliver(batch) == Outcome(1, Continue())
    rest = batch.after(1)
    assert rest is not None
    assert given.deliver(rest) == Outcome(1, Continue())
    last = rest.after(1)
    assert last is not None
    assert "ValueError" in str(stop_of(given.deliver(last)))
    assert given.effects.passed_over == [b"a", b"b"]
    assert [letter.payload for letter in given.letters.sent] == [b"b"]
    figures = given.statistics.figures()
    assert (figures.skipped, figures.dead_lettered) == (1, 1)


def test_a_choice_that_cannot_be_made_here_is_a_mistake() -> None:
    def listener(payload: dict[str, int]) -> None: ...

    with pytest.raises(Exception, match=r"consumer.on-error-of.OSError is park, but keys are parked"):
        plan(listener, on_error_of={"OSError": OnError.PARK})
    with pytest.raises(Exception, match=r"consumer.on-error-of.OSError is dlq, but there is no dead-letter"):
        plan(listener, on_error_of={"OSError": OnError.DLQ})


def _plan(policy: ErrorPolicy, **consumer: object) -> list[Step]:
    parking = ParkingProperties.model_validate({"maxAttempts": 3, "gapTimeout": 60_000})
    budget = Budget.of(ConsumerProperties.model_validate(consumer))
    return failure_plan(budget, policy, parking, letters="error.a.g")


def test_the_plan_tells_when_a_message_is_tried_and_what_then() -> None:
    steps = _plan(ErrorPolicy(OnError.DLQ))
    assert [(step.at_ms, step.text) for step in steps[:4]] == [
        (0, "attempt 1"),
        (1000, "attempt 2"),
        (3000, "attempt 3"),
        (3000, "it goes to error.a.g, and the partition goes on"),
    ]
    assert "a missing predecessor: the partition stops" in [step.text for step in steps]


def test_the_plan_goes_on_with_the_tries_of_a_parked_message() -> None:
    steps = _plan(ErrorPolicy(OnError.PARK, {"Gone": OnError.SKIP}), maxAttempts=1)
    told = [(step.at_ms, step.text) for step in steps]
    assert told[1][1].startswith("its key is parked")
    assert told[2:6] == [
        (5_000, "attempt 1 of the parked message"),
        (15_000, "attempt 2 of the parked message"),
        (35_000, "attempt 3 of the parked message"),
        (35_000, "its key is dead: it waits for a person"),
    ]
    assert (None, "Gone: it is passed over, and the partition goes on") in told
    assert (None, "a missing predecessor: its key waits for it, 60 s at most") in told
