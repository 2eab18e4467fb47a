"""What crosses the line between core and binder: outcomes of deliveries, results of sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with what follows."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Deliver the undone rest again after this time. `reason` is for people."""

    delay_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seek:
    """Another owner moved the position: forget what is in memory and go on at `offset`."""

    offset: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the partition, visibly."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Apart:
    """Only of a joint batch, of which nothing is done: deliver the next batch of each partition by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done` messages from the front of the batch are finished; `then` says what happens next."""

    done: int
    then: Continue | RetryAfter | Seek | Stop | Apart = Continue()


class Sent(NamedTuple):
    """The broker has the message, as durably as it was asked to."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The broker does not have the message. `permanent`: trying again is pointless."""

    error: Exception
    permanent: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows: the message may have arrived, or may still arrive."""

    reason: str


def one_each(results: Sequence[Sent | Failed | Unknown], count: int) -> list[Sent | Failed | Unknown]:
    """Exactly `count` results, whatever a binder has returned."""
    missing = Unknown("a defect of the binder: it gave no result for this message")
    return [*results[:count], *[missing] * (count - len(results))]
