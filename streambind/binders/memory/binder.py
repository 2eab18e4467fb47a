"""The memory binder: bindings to an in-process broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.consumer import MemoryConsumerBinding
from streambind.binders.memory.log import OutsideLog, message_of
from streambind.binders.memory.producer import MemoryProducerBinding
from streambind.binders.memory.properties import (
    MemoryBinderProperties,
    MemoryConsumerProperties,
    dead_letter_destination,
)
from streambind.binding.binder import (
    Capabilities,
    ConsumerTarget,
    Deliver,
    DestinationInfo,
    Lane,
    ProducerTarget,
)
from streambind.errors import DestinationError, LifecycleError
from streambind.message import Message

_READ_LIMIT = 5000


class MemoryBinder:
    """A `Binder` of the process's broker of the configured name; takes the one that is there at the first use."""

    capabilities = Capabilities()

    def __init__(self, properties: MemoryBinderProperties) -> None:
        self._properties = properties
        self._lock = threading.Lock()
        self._broker: MemoryBroker | None = None
        self._bindings: list[MemoryConsumerBinding | MemoryProducerBinding] = []
        self._closed = False

    def bind_consumer(self, target: ConsumerTarget, deliver: Deliver) -> MemoryConsumerBinding:
        broker = self._connected()
        properties = target.extended
        if not isinstance(properties, MemoryConsumerProperties):
            raise TypeError(f"the memory binder cannot read {type(properties).__name__}")
        wanted = target.properties.concurrency * max(1, target.properties.instance_count)
        for destination in target.destinations:
            self._provide(destination, wanted, strict=False)
            if destination in target.replays:
                continue
            dead_letters = dead_letter_destination(destination, target.group, properties)
            if dead_letters is not None:
                self._provide(
                    dead_letters, properties.dlq_partitions or self._partitions(destination), strict=False
                )
        group = target.group or f"anonymous.{uuid4()}"
        binding = MemoryConsumerBinding(broker, target, properties, group, deliver)
        self._keep(binding)
        return binding

    def bind_producer(self, target: ProducerTarget) -> MemoryProducerBinding:
        broker = self._connected()
        self._provide(target.destination, target.properties.partition_count, strict=True)
        binding = MemoryProducerBinding(broker, target)
        self._keep(binding)
        return binding

    def describe(self, destination: str, timeout_ms: int) -> DestinationInfo | None:
        return self._connected().describe(destination)

    def committed(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, int]:
        return self._connected().groups.committed(group, destination)

    def commit(self, group: str, destination: str, offsets: Mapping[int, int], timeout_ms: int) -> None:
        self._connected().groups.reset(group, {Lane(destination, each): at for each, at in offsets.items()})

    def owners(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, str]:
        return self._connected().groups.owners(group, destination)

    def offsets_at(self, destination: str, timestamp_ms: int, timeout_ms: int) -> Mapping[int, int]:
        return self._connected().offsets_at(destination, timestamp_ms)

    def read(
        self, destination: str, starts: Mapping[int, int], timeout_ms: int, *, each: int | None = None
    ) -> Sequence[Message]:
        broker = self._connected()
        if (info := broker.describe(destination)) is None:
            raise DestinationError(f"destination {destination} does not exist")
        messages: list[Message] = []
        for partition, offset in starts.items():
            lane = Lane(destination, partition)
            if partition in info.starts:
                limit = _READ_LIMIT - len(messages)
                limit = limit if each is None else min(each, limit)
                messages += self._read(broker, lane, max(offset, info.starts[partition]), limit)
        return messages

    def close(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._lock:
            self._closed = True
            bindings, self._bindings = self._bindings, []
        for binding in bindings:
            binding.unbind(max(0, round((deadline - time.monotonic()) * 1000)))

    def _connected(self) -> MemoryBroker:
        with self._lock:
            if self._closed:
                raise LifecycleError("the memory binder is closed")
            if self._broker is None:
                self._broker = MemoryBroker.named(self._properties.name)
            broker = self._broker
        broker.check_up()
        return broker

    def _keep(self, binding: MemoryConsumerBinding | MemoryProducerBinding) -> None:
        with self._lock:
            self._bindings = [b for b in self._bindings if b.is_bound]
            self._bindings.append(binding)

    def _partitions(self, destination: str) -> int:
        info = self._connected().describe(destination)
        return info.partitions if info is not None else 0

    def _provide(self, destination: str, partitions: int, *, strict: bool) -> None:
        """See that the destination is there; `strict`: it must have as many partitions."""
        properties = self._properties
        present = self._partitions(destination)
        if present == 0 and not properties.auto_create_topics:
            raise DestinationError(f"destination {destination} does not exist, and autoCreateTopics is false")
        if present == 0 or (present < partitions and properties.auto_add_partitions):
            self._connected().create(destination, max(partitions, properties.min_partition_count))
        elif present < partitions and strict:
            raise DestinationError(
                f"destination {destination} has {present} partitions, {partitions} are asked for: "
                "lower producer.partitionCount or set autoAddPartitions"
            )

    @staticmethod
    def _read(broker: MemoryBroker, lane: Lane, offset: int, limit: int) -> list[Message]:
        try:
            return [message_of(lane, record) for record in broker.fetch(lane, offset, limit)]
        except OutsideLog:
            return []
