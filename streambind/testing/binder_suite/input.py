"""A consumer binding under test: it records what is delivered and watches the rules that always hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from streambind.binding.binder import ConsumerBinding, Lane, PartitionState
from streambind.binding.outcome import Outcome, Seek, Stop
from streambind.joint_batch import parts_of
from streambind.message import Batch, Message, boundary
from streambind.read_ahead import found_ahead

Decide = Callable[[Batch], Outcome]


def all_done(batch: Batch) -> Outcome:
    return Outcome(len(batch))


def done_after(gate: threading.Event) -> Decide:
    """Handle everything, once the gate is open."""

    def decide(batch: Batch) -> Outcome:
        gate.wait()
        return Outcome(len(batch))

    return decide


@dataclass(frozen=True, slots=True)
class Delivery:
    """One call of `deliver`, as it was seen; of a joint batch, one partition's part in it."""

    lane: Lane
    position: int
    messages: tuple[Message, ...]
    began_s: float
    outcome: Outcome | None
    ended_s: float


class Running:
    """Which lanes of which group are being delivered, whoever the member."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, Lane], int] = {}

    def enter(self, group: str, lane: Lane) -> int:
        """How many deliveries of the lane run now, this one included."""
        with self._lock:
            self._lanes[group, lane] = count = self._lanes.get((group, lane), 0) + 1
            return count

    def leave(self, group: str, lane: Lane) -> None:
        with self._lock:
            self._lanes[group, lane] -= 1


class PayloadReader:
    """Reads the payloads of batches ahead, one at a step."""

    def read_ahead(self, batch: Batch) -> Generator[None, None, list[bytes | None]]:
        found = []
        for i in range(len(batch)):
            found.append(batch.payload(i))
            yield
        return found


class Input:
    """The `Deliver` of one binding. `decide` gives the outcome of each batch and may block or raise.

    `moves`: the binding's partitions come and go, so a position may lie behind what was done before.
    """

    binding: ConsumerBinding

    def __init__(self, group: str, decide: Decide, running: Running, *, moves: bool) -> None:
        self.reader = PayloadReader()
        self._group = group
        self._decide = decide
        self._running = running
        self._moves = moves
        self._lock = threading.Lock()
        self._expected: dict[Lane, int] = {}
        self._active = 0
        self._unbound = False
        self._deliveries: list[Delivery] = []
        self._seen: list[Message] = []
        self._done: list[Message] = []
        self.most_active = 0
        self.violations: list[str] = []

    def __call__(self, batch: Batch) -> Outcome:
        began_s = time.monotonic()
        parts = [
            (part, Lane(batch.destination, part.partition), tuple(part.message(i) for i in range(len(part))))
            for part in parts_of(batch)
        ]
        for part, lane, messages in parts:
            self._enter(part, lane, messages)
        outcome: Outcome | None = None
        try:
            outcome = self._decide(batch)
        finally:
            for part, lane, messages in parts:
                self._running.leave(self._group, lane)
                its = outcome if len(parts) == 1 or outcome is None else Outcome(min(outcome.done, len(part)))
                self._leave(part, Delivery(lane, part.position, messages, began_s, its, time.monotonic()))
        return outcome

    @property
    def deliveries(self) -> list[Delivery]:
        """Calls that have ended, in the order of their ends."""
        with self._lock:
            return list(self._deliveries)

    @property
    def seen(self) -> list[Message]:
        """Every message of every call, ended or not, in the order in which they came."""
        with self._lock:
            return list(self._seen)

    @property
    def done(self) -> list[Message]:
        """Messages that an outcome declared done."""
        with self._lock:
            return list(self._done)

    @property
    def active(self) -> int:
        """How many calls run now."""
        with self._lock:
            return self._active

    def payloads(self) -> list[bytes | None]:
        return [message.payload for message in self.done]

    def state(self, partition: int = 0) -> PartitionState | None:
        """What the binding says of the partition; None if it is not assigned."""
        return next((s for s in self.binding.partitions() if s.lane.partition == partition), None)

    def ready(self) -> set[Lane]:
        """Assigned lanes whose position is known."""
        return {state.lane for state in self.binding.partitions() if state.position is not None}

    def unbind(self, timeout_ms: int = 5000) -> None:
        self.binding.unbind(timeout_ms)
        with self._lock:
            self._unbound = True

    def _enter(self, batch: Batch, lane: Lane, messages: tuple[Message, ...]) -> None:
        together = self._running.enter(self._group, lane)
        with self._lock:
            self._active += 1
            self.most_active = max(self.most_active, self._active)
            self._seen.extend(messages)
            if self._unbound:
                self.violations.append(f"deliver was called after unbind() had returned, with {messages[0]}")
            if together > 1:
                self.violations.append(f"{lane} was delivered {together} times at once")
            expected = self._expected.get(lane, batch.position)
            if expected != batch.position and not self._moves:
                self.violations.append(f"{lane}: position {batch.position} where {expected} was to come")
            self.violations.extend(f"{lane}: {fault}" for fault in inconsistencies(batch, messages))
            if found_ahead(batch, self.reader) not in (None, batch.payloads()):
                self.violations.append(
                    f"{lane}: what was read ahead is not what was delivered at {batch.position}"
                )

    def _leave(self, batch: Batch, delivery: Delivery) -> None:
        with self._lock:
            self._active -= 1
            self._deliveries.append(delivery)
            self._expected.pop(delivery.lane, None)
            outcome = delivery.outcome
            if outcome is None or not 0 <= outcome.done <= len(batch):
                return
            self._done.extend(delivery.messages[: outcome.done])
            if isinstance(outcome.then, Seek):
                self._expected[delivery.lane] = outcome.then.offset
            elif not isinstance(outcome.then, Stop):
                self._expected[delivery.lane] = boundary(batch, outcome.done)


def inconsistencies(batch: Batch, messages: tuple[Message, ...]) -> list[str]:
    """What in the batch contradicts the docstring of `Batch`."""
    faults = []
    if not messages:
        return ["the batch is empty"]
    offsets = [batch.offset(i) for i in range(len(batch))]
    if offsets != sorted(set(offsets)):
        faults.append(f"the offsets do not ascend: {offsets}")
    if not batch.position <= offsets[0] <= offsets[-1] < batch.next_offset:
        faults.append(f"position {batch.position}, offsets {offsets}, next offset {batch.next_offset}")
    if batch.payloads() != [m.payload for m in messages]:
        faults.append("payloads() differs from the messages' payloads")
    for i, m in enumerate(messages):
        fields = (batch.destination, batch.partition, batch.offset(i), batch.key(i), batch.payload(i))
        if fields != (m.destination, m.partition, m.offset, m.key, m.payload):
            faults.append(f"message({i}) is {m!r}, the batch says {fields}")
        if batch.timestamp_ms(i) != m.timestamp_ms or list(batch.raw_headers(i)) != list(m.raw_headers):
            faults.append(f"message({i}) and the batch differ in timestamp or headers")
    return faults
