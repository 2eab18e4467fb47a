"""The binder SPI: what ties bindings to a broker.

A binder moves bytes. It knows neither payload types nor listeners nor databases; the core knows neither
topics nor clients. Two contracts cross the line: `Deliver` on the way in, `ProducerBinding.send` on the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streambind.binding.outcome import Failed, Outcome, Sent, Unknown
from streambind.configuration.properties import ConsumerProperties, ProducerProperties, Properties
from streambind.message import Batch, Message
from streambind.read_ahead import Reader

Deliver = Callable[[Batch], Outcome]
"""Called by the binder with the next batch of a partition; one call at a time per partition, from the binder's
worker threads. The outcome is the core's decision, carrying it out is the binder's:

- the first `done` messages are finished: the binder reports `boundary(batch, done)` to the broker;
- `Continue`: the undone rest, if any, is delivered again at once;
- `RetryAfter(ms)`: the undone rest stays in memory and is delivered again, first, when the time is over;
  nothing later of that partition before it; other partitions go on;
- `Seek(offset)`: drop what is in memory of the partition and go on at `offset`;
- `Stop(error)`: the partition stops, visibly (`ConsumerBinding.partitions()`), until the binding starts again
  or the partition is assigned anew.

Where `ConsumerTarget.joins` says so, a binder may give the batches of several partitions of one destination as
one `JointBatch`. All of it is done then, with `Continue`, or nothing, with `Apart`, which comes of no other batch:
each of them is to be delivered by itself.

An exception from `Deliver`, or an outcome that does not fit the batch, is a defect: the partition stops as with
`Stop`, and nothing of the batch counts as done. After `unbind()` has returned,
`Deliver` is not called.
"""


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition of one destination."""

    destination: str
    partition: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a destination from another one of the same name: made anew, or at another broker. None: the
    broker cannot tell.

    `cluster`: which broker, or cluster of them; `destination`: which of all that have had the name there. Each at
    most 64 characters.

    `is_compacted` tells nothing apart, it is told on the same occasions: whether a message there may be missing
    because a later one of its key has come (Kafka's `cleanup.policy=compact`).
    """

    cluster: str | None = None
    destination: str | None = None
    is_compacted: bool | None = field(default=None, compare=False)

    def may_be(self, other: Identity) -> bool:
        """Whether nothing that both know differs."""
        pairs = ((self.cluster, other.cluster), (self.destination, other.destination))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)

    @property
    def is_known(self) -> bool:
        return self.destination is not None


class Positions(Protocol):
    """Where partitions start, when a database is the authority. All methods may block and may raise; they are
    called from a binder's worker, never from its poll thread. A raise means: ask again later.

    A binder starts a partition at its stored position only if the identity that `identify` returns `may_be` the
    destination's as it is; else the partition stops, visibly, with a DestinationReplacedError. While bound it
    compares from time to time.
    """

    def read(self, lanes: Sequence[Lane]) -> Mapping[Lane, int]:
        """The stored positions; lanes without one are absent."""
        ...

    def adopt(
        self, starts: Mapping[Lane, tuple[int, str]], identities: Mapping[str, Identity]
    ) -> Mapping[Lane, int]:
        """Store a first position (offset, and where it comes from: `committed`, `earliest`, `latest`) for each
        lane, with its destination's identity, unless another instance was faster; returns what is stored now."""
        ...

    def identify(self, lanes: Sequence[Lane], identities: Mapping[str, Identity]) -> Mapping[Lane, Identity]:
        """Which destinations the stored positions belong to; where that was not known, the given one is stored.
        Whether it is compacted is stored each time, if it is known. Lanes without a position are absent."""
        ...


@dataclass(frozen=True, slots=True)
class ConsumerTarget:
    """What a binder needs to bind an input. `group` None: anonymous, a new one per start. `replays` are those of
    the destinations that have no dead letters of their own: replayed ones come through them. `batch`: how many
    messages a batch may hold if many wait, unless the binder is configured otherwise; None: as the binder does.
    `joins`: whether it may be a joint one, of no more messages than that.
    `readers`: whom a binder may have read a batch ahead that waits for another one of its partition."""

    binding: str
    destinations: tuple[str, ...]
    group: str | None
    properties: ConsumerProperties
    extended: Properties
    positions: Positions | None = None
    replays: frozenset[str] = frozenset()
    batch: int | None = None
    joins: bool = False
    readers: tuple[Reader, ...] = ()


@dataclass(frozen=True, slots=True)
class ProducerTarget:
    """What a binder needs to bind an output. `timeout_ms` None: sends wait without limit (the relay).

    `fence` names what only one binding at a time may do, in any process, for as long as the broker lives: once
    `bind_producer` has returned, nothing that an earlier binding with the same fence sends gets into the log,
    whatever it has in memory or on its way. Messages of one fenced send get there together or, for readers who
    ask for committed ones only, not at all.
    """

    binding: str
    destination: str
    properties: ProducerProperties
    extended: Properties
    timeout_ms: int | None = None
    fence: str | None = None


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One assigned partition. `position` is the next offset to be done, None until it is known where to start.
    `stalled` holds the reason once it stopped; `retrying` while it backs off, or while the positions cannot be
    read. `lag`: how far the log's end lies beyond the position, as the broker has said last, offsets without a
    message included; 0 only where no message is left to be done; None: unknown, as it may be while the broker is
    away or the binding is paused."""

    lane: Lane
    position: int | None
    stalled: str | None = None
    retrying: str | None = None
    lag: int | None = None


class ConsumerBinding(Protocol):
    """An input at work. All methods may be called from any thread and are idempotent."""

    def pause(self) -> None:
        """After it has returned no delivery begins until `resume`; a running one ends. The binding stays in its
        group and keeps its partitions."""
        ...

    def resume(self) -> None: ...

    def partitions(self) -> Sequence[PartitionState]:
        """What is assigned now; nothing after `unbind`. Never blocks on the broker."""
        ...

    def last_error(self) -> str | None:
        """What went wrong last, for people; None if nothing has."""
        ...

    def away(self) -> str | None:
        """Why nothing comes: the broker cannot be reached; None while it can, as far as is known. Never blocks."""
        ...

    def unbind(self, timeout_ms: int) -> None:
        """Stop polling, let running deliveries end within the time, report offsets, leave the group. What is
        not done then is delivered again to whoever owns the partition next."""
        ...


class ProducerBinding(Protocol):
    """An output at work. Thread-safe; messages of one call keep their order, per key and partition."""

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        """One result per message, when all are known, or the target's time is over (`Unknown` for the rest).

        Once a message with a key is refused before the broker has seen it, or it is not known whether the broker
        will, later messages of that key must not reach the broker: their result is `HELD_BACK`, see
        `streambind.binding.key_order`. Readers would take them for the next ones, and the refused one, when it is
        sent at last, for something new.

        Raises:
            LifecycleError: after `purge` or `unbind`.
            FencedError: with a fence: it is lost; which of the messages have arrived is unknown.
        """
        ...

    def max_payload_bytes(self) -> int | None:
        """The largest payload that the destination accepts; None if unknown."""
        ...

    def purge(self) -> None:
        """Make running sends return at once; what is not reported by then is `Unknown`. Sends after it
        raise LifecycleError. Idempotent."""
        ...

    def unbind(self, timeout_ms: int) -> None:
        """Wait for running sends within the time, then purge and close. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can do. Nothing asks for a broker by name.

    positions: a partition can be started at any offset; partitions: several lanes per destination, kept apart
    by key; admin: destinations can be created and described; groups: committed offsets are kept by the broker;
    fencing: `ProducerTarget.fence` is kept.
    """

    fencing: bool = True
    positions: bool = True
    partitions: bool = True
    admin: bool = True
    groups: bool = True


@dataclass(frozen=True, slots=True)
class DestinationInfo:
    """What a broker says of a destination: for commands and tests. `ends` are high watermarks."""

    name: str
    partitions: int
    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    identity: Identity = Identity()


class Binder(Protocol):
    """One broker. Connects lazily: constructing it opens nothing.

    Methods raise BrokerUnavailableError when the broker is away (the binding service tries again later) and
    another BrokerError or ConfigurationError when trying again is pointless.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    def bind_consumer(self, target: ConsumerTarget, deliver: Deliver) -> ConsumerBinding: ...
    def bind_producer(self, target: ProducerTarget) -> ProducerBinding: ...

    def describe(self, destination: str, timeout_ms: int) -> DestinationInfo | None:
        """None if the destination does not exist."""
        ...

    def committed(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, int]:
        """What the group has reported done, by partition; partitions without a report are absent."""
        ...

    def commit(self, group: str, destination: str, offsets: Mapping[int, int], timeout_ms: int) -> None:
        """Set what the group, which must have no members now, has reported done, by partition.

        Raises:
            LifecycleError: it has members; nothing is set.
        """
        ...

    def owners(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, str] | None:
        """Which member of the group holds which partition now, named for people; None if the broker cannot
        tell."""
        ...

    def offsets_at(self, destination: str, timestamp_ms: int, timeout_ms: int) -> Mapping[int, int]:
        """By partition the offset of the first message that is not older; the end where all are."""
        ...

    def read(
        self, destination: str, starts: Mapping[int, int], timeout_ms: int, *, each: int | None = None
    ) -> Sequence[Message]:
        """Messages from the given offsets to the current ends, without a group: for `tail` and tests. Returns
        what came within the time, at most some thousand messages, and `each` of a partition; call again from the
        next offsets."""
        ...

    def close(self, timeout_ms: int) -> None:
        """Unbind what is still bound and release everything."""
        ...
