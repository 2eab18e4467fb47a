"""How a destination's messages get to the broker: through the one producer of its output, or fenced: through one
per shard, so that a relay that has lost a shard is shut out by the broker itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Protocol, TypeVar

from streambind.binding.binder import ProducerBinding
from streambind.binding.outcome import Failed, Sent, Unknown, one_each
from streambind.errors import BrokerError, FencedError
from streambind.outbound.lease import Hold
from streambind.outbound.wire_message import OutboxRow, RowMessages, Source
from streambind.persistence.failures import describe

Result = Sent | Failed | Unknown

T = TypeVar("T")

Producers = Callable[[str], ProducerBinding | None]
"""The producer for a destination now; None if this application has no output to it. May raise BrokerError."""

FencedProducers = Callable[[str, str], ProducerBinding | None]
"""A new producer for a destination and a fence, which it has once it is returned; its user unbinds it. May raise
BrokerError."""


@dataclass(frozen=True, slots=True)
class Job:
    """Rows to send, of one destination, while the shards are held. `behind`: another job was under way when they
    were read, and they may only follow it if all of it got through."""

    rows: tuple[OutboxRow, ...]
    source: Source
    hold: Hold
    behind: bool = False


class Readiness(Enum):
    """`FRESH`: producers have been bound just now; what was read
    before may have been sent by somebody else."""

    READY = "ready"
    FRESH = "fresh"


class Way(Protocol):
    """Used by one lane's thread; only `purge` may be called from others."""

    def prepare(self, job: Job) -> Readiness:
        """
        Raises:
            BrokerError: not now.
        """
        ...

    def send(self, job: Job, chosen: Sequence[int]) -> tuple[list[Result], frozenset[int]]:
        """Send the messages of these rows, given by their indexes; a result for each, and the shards that are
        lost."""
        ...

    def purge(self) -> None:
        """Make a send that waits return; the way is of no use afterwards."""
        ...

    def end(self) -> None:
        """Let go of what it has bound."""
        ...


class SharedWay:
    """Through the producer of the destination's output, which it shares with nobody at that moment."""

    def __init__(self, destination: str, producers: Producers) -> None:
        self._destination = destination
        self._producers = producers
        self._producer: ProducerBinding | None = None

    def prepare(self, job: Job) -> Readiness:
        self._producer = self._producers(self._destination)
        if self._producer is None:
            raise _unled(self._destination)
        return Readiness.READY

    def send(self, job: Job, chosen: Sequence[int]) -> tuple[list[Result], frozenset[int]]:
        producer = self._producer
        assert producer is not None, "it has been prepared"
        try:
            return _sent(producer, job, chosen), frozenset()
        finally:
            self._producer = None

    def purge(self) -> None:
        producer = self._producer
        if producer is not None:
            producer.purge()

    def end(self) -> None:
        """The producer is its output's."""


class FencedWay:
    """Through a producer for each shard, bound in the tenure in which it is used.

    Why that keeps an older value from coming last, whoever wakes up when: a relay that holds a shard anew takes
    the fence of each destination before it sends anything there, asks the database once more whether the shard
    is still its own, and sends only what it has read after that; and rows are deleted only in the tenure in
    which they were sent. So whoever still has rows of the shard from before is shut out before the first row
    that he does not know of is sent, or deleted.
    """

    def __init__(self, destination: str, producers: Producers, fenced: FencedProducers) -> None:
        self._destination = destination
        self._producers = producers
        self._fenced = fenced
        self._bound: dict[int, tuple[int, ProducerBinding]] = {}

    def prepare(self, job: Job) -> Readiness:
        if self._producers(self._destination) is None:
            raise _unled(self._destination)
        for shard, (tenure, producer) in list(self._bound.items()):
            if job.hold.tenures.get(shard) != tenure:
                del self._bound[shard]
                producer.unbind(0)
        missing = sorted({row.shard for row in job.rows} - self._bound.keys())
        if not missing:
            return Readiness.READY
        outcomes = _at_once([partial(self._bind, job.source, shard) for shard in missing])
        bound = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                # All or none: what is bound counts only once the database has been asked again.
                for producer in bound:
                    producer.unbind(0)
                raise outcome
        for shard, producer in zip(missing, bound, strict=True):
            self._bound[shard] = job.hold.tenures[shard], producer
        return Readiness.FRESH

    def send(self, job: Job, chosen: Sequence[int]) -> tuple[list[Result], frozenset[int]]:
        by_shard: dict[int, list[int]] = {}
        for index in chosen:
            by_shard.setdefault(job.rows[index].shard, []).append(index)
        works = [partial(_sent, self._bound[shard][1], job, some) for shard, some in by_shard.items()]
        results: dict[int, Result] = {}
        lost: set[int] = set()
        for (shard, some), outcome in zip(by_shard.items(), _at_once(works), strict=True):
            if isinstance(outcome, FencedError):
                lost.add(shard)
            if isinstance(outcome, Exception):
                results.update(dict.fromkeys(some, Unknown(describe(outcome))))
            else:
                results.update(zip(some, outcome, strict=True))
        return [results[index] for index in chosen], frozenset(lost)

    def purge(self) -> None:
        for _, producer in list(self._bound.values()):
            producer.purge()

    def end(self) -> None:
        bound, self._bound = self._bound, {}
        for _, producer in bound.values():
            producer.unbind(0)

    def _bind(self, source: Source, shard: int) -> ProducerBinding:
        producer = self._fenced(self._destination, f"{source.source_id}/{self._destination}/{shard}")
        assert producer is not None, "an output that was there a moment ago"
        return producer


def _sent(producer: ProducerBinding, job: Job, chosen: Sequence[int]) -> list[Result]:
    """The results of sending the messages of these rows, given by their indexes."""
    if not chosen:
        return []
    rows = job.rows if len(chosen) == len(job.rows) else [job.rows[index] for index in chosen]
    return one_each(producer.send(RowMessages(rows, job.source)), len(rows))


def _unled(destination: str) -> BrokerError:
    return BrokerError(f"no output binding of this application leads to {destination} any more")


def _at_once(works: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Do all of it at the same time; what each has returned or raised."""
    outcomes: dict[int, T | Exception] = {}

    def run(index: int) -> None:
        try:
            outcomes[index] = works[index]()
        except Exception as error:  # noqa: BLE001 - the caller decides
            outcomes[index] = error

    threads = [
        threading.Thread(target=run, args=(index,), name="streambind-relay-shard", daemon=True)
        for index in range(1, len(works))
    ]
    for thread in threads:
        thread.start()
    if works:
        run(0)
    for thread in threads:
        thread.join()
    return [outcomes[index] for index in range(len(works))]
