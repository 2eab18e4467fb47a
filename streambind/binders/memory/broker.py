"""An in-process broker with Kafka's semantics: partitions, groups, offsets, retention, outages."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple
from uuid import uuid4

from streambind.binders.memory.coordinator import Coordinator
from streambind.binders.memory.log import PartitionLog, Record
from streambind.binders.memory.partitioner import partition_of
from streambind.binders.memory.send_faults import SendFault, SendFaults
from streambind.binding.binder import DestinationInfo, Identity, Lane
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import BrokerUnavailableError, DestinationError, FencedError, SendError
from streambind.headers import name_fault
from streambind.message import Message

_brokers: dict[str, MemoryBroker] = {}
_brokers_lock = threading.Lock()


class Fence(NamedTuple):
    """The right to send under a name, until somebody takes it again."""

    name: str
    number: int


class MemoryBroker:
    """Destinations, their partitions' logs and the groups that read them. Thread-safe.

    `max_message_bytes` bounds key, payload and headers of one message; a larger one fails for good.
    """

    def __init__(self, *, max_message_bytes: int = 1_000_000) -> None:
        self.max_message_bytes = max_message_bytes
        self.groups = Coordinator(self._partition_count, self.check_up)
        self._changed = threading.Condition()
        self._cluster = uuid4().hex
        self._topics: dict[str, list[PartitionLog]] = {}
        self._identities: dict[str, Identity] = {}
        self._compacted: set[str] = set()
        self._watchers: dict[int, tuple[frozenset[str], Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._faults = SendFaults()
        self._fences: dict[str, int] = {}
        self._up = True

    @classmethod
    def named(cls, name: str = "default") -> MemoryBroker:
        """The broker that the binders of this name share in this process, made when first asked for."""
        with _brokers_lock:
            return _brokers.setdefault(name, cls())

    @classmethod
    def reset(cls, name: str = "default") -> MemoryBroker:
        """Put a fresh broker in place of the named one. Binders that use the old one keep it."""
        with _brokers_lock:
            _brokers[name] = broker = cls()
        return broker

    @classmethod
    @contextmanager
    def fresh(cls, name: str = "default") -> Iterator[MemoryBroker]:
        """A fresh broker under this name for the length of the block."""
        with _brokers_lock:
            before = _brokers.get(name)
            _brokers[name] = broker = cls()
        try:
            yield broker
        finally:
            with _brokers_lock:
                if before is None:
                    del _brokers[name]
                else:
                    _brokers[name] = before

    def create(self, destination: str, partitions: int = 1) -> None:
        """Make the destination if it is missing, and add partitions until it has as many."""
        self.check_up()
        with self._changed:
            logs = self._topics.setdefault(destination, [])
            self._identities.setdefault(destination, Identity(self._cluster, uuid4().hex))
            missing = partitions - len(logs)
            logs.extend(PartitionLog() for _ in range(missing))
        if missing > 0:
            self.groups.look_again(balance=True)

    def make_anew(self, destination: str, partitions: int = 1) -> None:
        """Delete the destination and make it again at once: nobody is told."""
        self.check_up()
        with self._changed:
            self._topics[destination] = [PartitionLog() for _ in range(partitions)]
            self._identities[destination] = Identity(self._cluster, uuid4().hex)
        self.groups.look_again(balance=True)
        self._wake(destination)

    def identity(self, destination: str) -> Identity:
        """Which destination has the name now. Answers while the broker is down too."""
        with self._changed:
            identity = self._identities.get(destination, Identity(self._cluster))
            return replace(identity, is_compacted=destination in self._compacted)

    def describe(self, destination: str) -> DestinationInfo | None:
        """None if the destination does not exist."""
        self.check_up()
        with self._changed:
            if (logs := self._topics.get(destination)) is None:
                return None
            starts = {number: log.start for number, log in enumerate(logs)}
            ends = {number: log.end for number, log in enumerate(logs)}
            return DestinationInfo(destination, len(logs), starts, ends, self._identities[destination])

    def offsets_at(self, destination: str, timestamp_ms: int) -> dict[int, int]:
        """By partition the offset of the first message that is not older; the end where all are."""
        self.check_up()
        with self._changed:
            return {number: log.offset_at(timestamp_ms) for number, log in enumerate(self._topics[destination])}

    def take_fence(self, name: str) -> Fence:
        """Shut out whoever has taken it before."""
        with self._changed:
            self._check_up()
            self._fences[name] = self._fences.get(name, 0) + 1
            return Fence(name, self._fences[name])

    def append(
        self, destination: str, messages: Sequence[Message], fence: Fence | None = None
    ) -> list[Sent | Failed | Unknown]:
        """Store the messages in their order.

        Raises:
            BrokerUnavailableError: the broker is down; nothing was stored.
            FencedError: somebody has taken the fence since; nothing was stored.
        """
        now_ms = time.time_ns() // 1_000_000
        with self._changed:
            self._check_up()
            if fence is not None and self._fences.get(fence.name) != fence.number:
                raise FencedError(f"{destination}: another output has taken the fence {fence.name}")
            order = KeyOrder()
            results = [self._append(destination, message, now_ms, order) for message in messages]
        self._wake(destination)
        return results

    def fetch(self, lane: Lane, position: int, limit: int) -> list[Record]:
        """Records from `position` on, at once; none if nothing is there yet or the broker is down.

        Raises:
            OutsideLog: the position is not between start and end of the log.
        """
        with self._changed:
            return self._topics[lane.destination][lane.partition].read(position, limit) if self._up else []

    def lag(self, lane: Lane, position: int) -> int | None:
        """How far the log's end lies beyond the position; 0 if no record does. None: the broker is down, or the
        position is not in the log."""
        with self._changed:
            log = self._topics[lane.destination][lane.partition]
            if not self._up or not log.start <= position <= log.end:
                return None
            return log.end - position if log.read(position, 1) else 0

    def delete_records(self, destination: str, partition: int, before: int) -> None:
        """Retention: forget the partition's messages before an offset."""
        with self._changed:
            self._topics[destination][partition].delete_before(before)
        self._wake(destination)

    def compact(self, destination: str) -> None:
        """From now on the destination counts as compacted: forget what a later message of its key follows."""
        with self._changed:
            self._compacted.add(destination)
            for log in self._topics[destination]:
                log.compact()

    def leave_hole(self, destination: str, partition: int, offsets: int = 1) -> None:
        """Use up offsets of the partition without messages, as transaction markers do."""
        with self._changed:
            self._topics[destination][partition].leave_hole(offsets)

    def watch(self, destinations: Iterable[str], on_append: Callable[[], None]) -> Callable[[], None]:
        """Have `on_append` called, without locks held, whenever there may be more to fetch; returns what ends
        it."""
        with self._changed:
            number = next(self._numbers)
            self._watchers[number] = (frozenset(destinations), on_append)

        def unwatch() -> None:
            with self._changed:
                self._watchers.pop(number, None)

        return unwatch

    def go_down(self) -> None:
        """Be unreachable: sends wait, fetches find nothing, everything else raises. Nothing is lost."""
        with self._changed:
            self._up = False

    def come_up(self) -> None:
        """Be reachable again, as if nothing had happened."""
        with self._changed:
            self._up = True
            self._changed.notify_all()
        self._wake(None)
        self.groups.look_again()

    def wait_until_up(self, timeout_s: float | None, cancelled: Callable[[], bool]) -> bool:
        """Whether the broker is up, within the time and before `cancelled` (see `interrupt`) holds."""
        with self._changed:
            self._changed.wait_for(lambda: self._up or cancelled(), timeout_s)
            return self._up and not cancelled()

    def interrupt(self) -> None:
        """Make those who wait for the broker ask again whether they are cancelled."""
        with self._changed:
            self._changed.notify_all()

    def fail_sends(
        self,
        result: Failed | Unknown,
        times: int = 1,
        *,
        destination: str | None = None,
        key: bytes | None = None,
        arrives: bool = False,
    ) -> None:
        """Answer the next `times` messages (of a destination, of a key) with `result`; `arrives` stores them
        all the same, as when only the report is lost."""
        with self._changed:
            self._faults.add(SendFault(result, times, destination, key, arrives))

    def check_up(self) -> None:
        """Raise BrokerUnavailableError while the broker is down."""
        with self._changed:
            self._check_up()

    def _check_up(self) -> None:
        if not self._up:
            raise BrokerUnavailableError("the memory broker is down")

    def _partition_count(self, destination: str) -> int:
        with self._changed:
            return len(self._topics.get(destination, ()))

    def _append(self, destination: str, message: Message, now_ms: int, order: KeyOrder) -> Sent | Failed | Unknown:
        if order.holds_back(message.key):
            return HELD_BACK
        result = self._stored(destination, message, now_ms)
        if not isinstance(result, Sent):
            order.stop(message.key)
        return result

    def _stored(self, destination: str, message: Message, now_ms: int) -> Sent | Failed | Unknown:
        logs = self._topics.get(destination)
        if logs is None:
            return Failed(DestinationError(f"destination {destination} does not exist"), permanent=True)
        if (why := self._objection(destination, message)) is not None:
            return Failed(SendError(why, permanent=True), permanent=True)
        partition = self._partition(message, len(logs))
        if not 0 <= partition < len(logs):
            return Failed(DestinationError(f"{destination} has no partition {partition}"), permanent=True)
        fault = self._faults.take(destination, message)
        if fault is not None and not fault.arrives:
            return fault.result
        offset = logs[partition].append(message, now_ms)
        return fault.result if fault is not None else Sent(partition, offset)

    def _objection(self, destination: str, message: Message) -> str | None:
        for name, _ in message.raw_headers:
            if (why := name_fault(name)) is not None:
                return f"{name!r} cannot be a header's name: {why}"
        size = len(message.key or b"") + len(message.payload or b"")
        size += sum(len(name.encode()) + len(value or b"") for name, value in message.raw_headers)
        if size > self.max_message_bytes:
            return f"a message of {size} bytes exceeds the {self.max_message_bytes} that {destination} accepts"
        return None

    def _partition(self, message: Message, partitions: int) -> int:
        if message.partition is not None:
            return message.partition
        if message.key is not None:
            return partition_of(message.key, partitions)
        return next(self._numbers) % partitions

    def _wake(self, destination: str | None) -> None:
        with self._changed:
            called = [
                wake for names, wake in self._watchers.values() if destination is None or destination in names
            ]
        for wake in called:
            wake()
