"""What would become of a message that keeps failing, told in advance (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streambind.configuration.parking_properties import ParkingProperties
from streambind.configuration.properties import OnError
from streambind.inbound.error_policy import ErrorPolicy
from streambind.inbound.parked_back_off import ParkedBackOff
from streambind.inbound.retry import TROUBLE_FIRST_MS, TROUBLE_MAX_MS, Budget


class Step(NamedTuple):
    """`at_ms` counts from the first try; None where a step has no time of its own."""

    at_ms: int | None
    text: str


def failure_plan(
    budget: Budget, policy: ErrorPolicy, parking: ParkingProperties, *, letters: str | None
) -> list[Step]:
    """The steps in order: the tries where the message is, its fate, the tries of a parked one; then what is
    treated otherwise. `letters` is where dead letters go."""
    return [*_tries(budget, policy, parking, letters=letters), *_exceptions(policy, parking, letters=letters)]


def _tries(
    budget: Budget, policy: ErrorPolicy, parking: ParkingProperties, *, letters: str | None
) -> Iterator[Step]:
    at_ms = 0
    for attempt in range(1, budget.max_attempts + 1):
        yield Step(at_ms, f"attempt {attempt}")
        if attempt < budget.max_attempts:
            at_ms += budget.delay_ms(attempt)
    yield Step(at_ms, _fate(policy.default, letters))
    if policy.default is not OnError.PARK:
        return
    back_off = ParkedBackOff(parking)
    pause: int | None = parking.back_off_initial_interval_ms
    for attempt in range(1, parking.max_attempts + 1):
        at_ms += pause or 0
        yield Step(at_ms, f"attempt {attempt} of the parked message")
        pause = back_off.retry_ms(attempt)
    yield Step(at_ms, "its key is dead: it waits for a person")


def _exceptions(policy: ErrorPolicy, parking: ParkingProperties, *, letters: str | None) -> Iterator[Step]:
    yield Step(None, "undecodable, PermanentError, a defect of the handler: no further attempt, the same fate")
    for name, choice in policy.by_exception.items():
        yield Step(None, f"{name}: {_fate(choice, letters)}")
    if policy.default is OnError.PARK:
        limit_s = parking.gap_timeout_ms / 1000
        yield Step(None, f"a missing predecessor: its key waits for it, {limit_s:g} s at most")
    else:
        yield Step(None, "a missing predecessor: the partition stops")
    first_s, most_s = TROUBLE_FIRST_MS / 1000, TROUBLE_MAX_MS / 1000
    text = f"no message's fault, tried again without end, {first_s:g} to {most_s:g} s apart"
    yield Step(None, f"database or broker away: {text}")


def _fate(choice: OnError, letters: str | None) -> str:
    match choice:
        case OnError.PARK:
            return "its key is parked: later messages of that key wait behind it, other keys go on"
        case OnError.DLQ:
            return f"it goes to {letters or 'its dead-letter destination'}, and the partition goes on"
        case OnError.SKIP:
            return "it is passed over, and the partition goes on"
        case _:
            return "its partition stops, until the binding is started again"
