"""A binder whose topics and groups have a prefix on the broker that the application does not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from streambind.batch_view import BatchView
from streambind.binding.binder import (
    Binder,
    Capabilities,
    ConsumerBinding,
    ConsumerTarget,
    Deliver,
    DestinationInfo,
    Identity,
    Lane,
    PartitionState,
    Positions,
    ProducerBinding,
    ProducerTarget,
)
from streambind.binding.outcome import Outcome
from streambind.configuration.properties import DeadLetterFormat
from streambind.message import Batch, Message

T = TypeVar("T")


class PrefixedBinder:
    """A `Binder`. Everything that leaves it upwards carries the plain names: batches, lanes, positions."""

    def __init__(self, inner: Binder, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def bind_consumer(self, target: ConsumerTarget, deliver: Deliver) -> ConsumerBinding:
        extended: Any = target.extended
        if getattr(extended, "dlq_name", None) is None and getattr(extended, "enable_dlq", False):
            # Else the name would be made of the prefixed ones, and is not where dead letters are sent.
            form: DeadLetterFormat = extended.dlq_format
            dlq_name = form.destination(target.destinations[0], target.group or "")
            extended = extended.model_copy(update={"dlq_name": dlq_name})
        if getattr(extended, "dlq_name", None) is not None:
            extended = extended.model_copy(update={"dlq_name": self._prefix + extended.dlq_name})
        prefixed = replace(
            target,
            destinations=tuple(map(self._add, target.destinations)),
            replays=frozenset(map(self._add, target.replays)),
            group=None if target.group is None else self._prefix + target.group,
            extended=extended,
            positions=None if target.positions is None else _PlainPositions(target.positions, self._prefix),
        )

        def deliver_plain(batch: Batch) -> Outcome:
            return deliver(cast(Batch, _PlainBatch(batch, self._remove(batch.destination))))

        return _PlainConsumer(self._inner.bind_consumer(prefixed, deliver_plain), self._prefix)

    def bind_producer(self, target: ProducerTarget) -> ProducerBinding:
        return self._inner.bind_producer(replace(target, destination=self._add(target.destination)))

    def describe(self, destination: str, timeout_ms: int) -> DestinationInfo | None:
        found = self._inner.describe(self._add(destination), timeout_ms)
        return None if found is None else replace(found, name=destination)

    def committed(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, int]:
        return self._inner.committed(self._prefix + group, self._add(destination), timeout_ms)

    def commit(self, group: str, destination: str, offsets: Mapping[int, int], timeout_ms: int) -> None:
        self._inner.commit(self._prefix + group, self._add(destination), offsets, timeout_ms)

    def owners(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, str] | None:
        return self._inner.owners(self._prefix + group, self._add(destination), timeout_ms)

    def offsets_at(self, destination: str, timestamp_ms: int, timeout_ms: int) -> Mapping[int, int]:
        return self._inner.offsets_at(self._add(destination), timestamp_ms, timeout_ms)

    def read(
        self, destination: str, starts: Mapping[int, int], timeout_ms: int, *, each: int | None = None
    ) -> Sequence[Message]:
        messages = self._inner.read(self._add(destination), starts, timeout_ms, each=each)
        for message in messages:
            message.destination = destination
        return messages

    def close(self, timeout_ms: int) -> None:
        self._inner.close(timeout_ms)

    def _add(self, destination: str) -> str:
        pattern = destination.startswith("^")
        return f"^{self._prefix}{destination[1:]}" if pattern else self._prefix + destination

    def _remove(self, destination: str) -> str:
        return destination.removeprefix(self._prefix)


class _PlainBatch(BatchView):
    """A batch under the destination's plain name."""

    def __init__(self, batch: Batch, destination: str) -> None:
        super().__init__(batch)
        self.destination = destination

    def message(self, i: int) -> Message:
        message = self._batch.message(i)
        message.destination = self.destination
        return message


class _PlainPositions:
    """The application's positions, for a binder that asks with prefixed lanes."""

    def __init__(self, positions: Positions, prefix: str) -> None:
        self._positions = positions
        self._prefix = prefix

    def read(self, lanes: Sequence[Lane]) -> Mapping[Lane, int]:
        return self._prefixed(self._positions.read([self._plain(lane) for lane in lanes]))

    def adopt(
        self, starts: Mapping[Lane, tuple[int, str]], identities: Mapping[str, Identity]
    ) -> Mapping[Lane, int]:
        plain = {self._plain(lane): start for lane, start in starts.items()}
        return self._prefixed(self._positions.adopt(plain, self._named(identities)))

    def identify(self, lanes: Sequence[Lane], identities: Mapping[str, Identity]) -> Mapping[Lane, Identity]:
        return self._prefixed(self._positions.identify([*map(self._plain, lanes)], self._named(identities)))

    def _named(self, identities: Mapping[str, Identity]) -> dict[str, Identity]:
        return {name.removeprefix(self._prefix): identity for name, identity in identities.items()}

    def _plain(self, lane: Lane) -> Lane:
        return Lane(lane.destination.removeprefix(self._prefix), lane.partition)

    def _prefixed(self, found: Mapping[Lane, T]) -> Mapping[Lane, T]:
        return {Lane(self._prefix + lane.destination, lane.partition): it for lane, it in found.items()}


class _PlainConsumer:
    """A `ConsumerBinding` whose partitions carry the plain names."""

    def __init__(self, inner: ConsumerBinding, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    def partitions(self) -> Sequence[PartitionState]:
        return [
            replace(state, lane=Lane(state.lane.destination.removeprefix(self._prefix), state.lane.partition))
            for state in self._inner.partitions()
        ]

    def last_error(self) -> str | None:
        return self._inner.last_error()

    def away(self) -> str | None:
        return self._inner.away()

    def unbind(self, timeout_ms: int) -> None:
        self._inner.unbind(timeout_ms)
