"""A delivery whose effects go by a script."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from streambind.binding.binder import Lane
from streambind.binding.outcome import Outcome, RetryAfter, Stop
from streambind.configuration.properties import ConsumerProperties, DeadLetterFormat, OnError
from streambind.errors import DeliveryError
from streambind.inbound.delivery import Delivery
from streambind.inbound.delivery_broker import BrokerEffects
from streambind.inbound.error_policy import ErrorPolicy
from streambind.inbound.failure import MessageFailed, Unattributed
from streambind.inbound.retry import Budget
from streambind.inbound.statistics import DeliveryStatistics
from streambind.message import Batch, Message
from tests.unit.inbound.batches import ListBatch, batch_of

_NO_DISPATCHER: Any = None


@dataclass
class ScriptedEffects:
    """Effects of whole transactions: all of `apply` or nothing, of `at_most` so many messages. Letters go as
    without a database. `errors` holds what a message raises, by payload; `raising` what the next calls raise."""

    errors: dict[bytes, list[Exception]] = field(default_factory=dict)
    raising: list[Exception] = field(default_factory=list)
    applied: list[bytes | None] = field(default_factory=list)
    passed_over: list[bytes | None] = field(default_factory=list)
    parked: list[tuple[bytes | None, Exception]] = field(default_factory=list)
    holding: bool = False
    at_most: int = sys.maxsize
    calls: list[tuple[int, bool]] = field(default_factory=list)
    position: int | None = None
    unattributed: bool = False
    letters: Letters = field(default_factory=lambda: Letters())

    def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
        self.calls.append((count, singly))
        if self.raising:
            raise self.raising.pop(0)
        count = min(count, self.at_most)
        for index in range(count):
            if errors := self.errors.get(batch.payload(index) or b""):
                if self.unattributed and not singly:
                    raise Unattributed(errors[0])
                raise MessageFailed(index, errors.pop(0))
        self.applied += [batch.payload(index) for index in range(count)]
        return count

    def pass_over(self, batch: Batch, index: int, letter: Message | None) -> None:
        if self.raising:
            raise self.raising.pop(0)
        BrokerEffects(_NO_DISPATCHER, dead_letters=self.letters).pass_over(batch, index, letter)
        self.passed_over.append(batch.payload(index))

    def park(self, batch: Batch, index: int, error: Exception) -> None:
        if self.raising:
            raise self.raising.pop(0)
        self.parked.append((batch.payload(index), error))

    def count_failure(self, batch: Batch, index: int, error: Exception) -> bool:
        return self.holding

    def stored(self, lane: Lane) -> int | None:
        if self.raising:
            raise self.raising.pop(0)
        return self.position


@dataclass
class Letters:
    failures: list[Exception] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    format: DeadLetterFormat = DeadLetterFormat.SPRING_CLOUD_STREAM
    group: str = "readers"

    def send(self, letter: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(letter)

    def write(self, connection: Connection, letter: Message) -> None:
        raise AssertionError("there is no database")


@dataclass
class Given:
    effects: ScriptedEffects
    letters: Letters
    delivery: Delivery
    statistics: DeliveryStatistics

    def deliver(self, batch: Batch) -> Outcome:
        return self.delivery.deliver(batch)


def given_delivery(
    on_error: OnError = OnError.STOP, on_error_of: Mapping[str, OnError] | None = None, **consumer: Any
) -> Given:
    letters, statistics = Letters(), DeliveryStatistics()
    effects = ScriptedEffects(letters=letters)
    delivery = Delivery(
        "in-things",
        effects,
        budget=Budget.of(ConsumerProperties(**consumer)),
        policy=ErrorPolicy(on_error, on_error_of or {}),
        dead_letters=letters,
        parking=effects,
        statistics=statistics,
    )
    return Given(effects, letters, delivery, statistics)


def a_b_c() -> ListBatch:
    return batch_of(b"a", b"b", b"c", start=10)


def delay_of(outcome: Outcome) -> int:
    assert isinstance(outcome.then, RetryAfter), outcome
    return outcome.then.delay_ms


def stop_of(outcome: Outcome) -> DeliveryError:
    assert isinstance(outcome.then, Stop), outcome
    assert isinstance(outcome.then.error, DeliveryError)
    return outcome.then.error
