"""What is known of one assigned partition: polled, running, backing off, stalled (pure: no client, no thread)."""

from __future__ import annotations

from dataclasses import dataclass

from streambind.binders.kafka.batch import KafkaBatch, KafkaMessage
from streambind.binding.binder import Lane, PartitionState
from streambind.binding.outcome import Apart, Continue, Outcome, RetryAfter, Seek, Stop
from streambind.message import boundary


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much of a partition may wait in memory. From `high` on polling waits for it if it can, above `most` the
    partition is paused in any case, and resumed from `low` on.

    Far apart, since pausing throws away what the client has fetched ahead; and the client hands out a fetch of
    one partition as a whole, while the workers of others may have nothing to do.
    """

    low: int
    high: int
    most: int
    high_bytes: int = 4 * 1024 * 1024
    most_bytes: int = 16 * 1024 * 1024

    @classmethod
    def around(cls, batch: int) -> QueueLimits:
        high = max(2 * batch, 1000)
        return cls(low=high // 2, high=high, most=20 * high)


class KafkaLane:
    """One assigned partition. The consumer's lock is held by whoever calls; nothing here blocks.

    `receive` is called by the poll thread, `take` and `finish` by the one worker that the lane is pinned to.
    Messages leave in the order in which they came, and an undone rest leaves again, alone, before anything else.

    `expected`: the offset that is to be polled next; `position`: the one to be done next; `reported`: the one that
    the group was told last. `end`: where the log ends, as the broker has said; `reached`: where the client has met
    the end. `taken`: the client has the partition; `paused`: it does not fetch from it; `seeking`: where it is to
    be moved. `scheduled`: handed to the worker; `running`: a batch is being delivered. `stalled`: why nothing is
    delivered any more; `lost`: until its stored position is mended. `dropped`: given back; `abandoned`: and what
    the running batch does no longer counts.
    """

    __slots__ = (
        "_ahead",
        "_bytes",
        "_follows",
        "_limits",
        "_moved",
        "_pending",
        "_rest",
        "abandoned",
        "dropped",
        "end",
        "expected",
        "lane",
        "lost",
        "paused",
        "position",
        "reached",
        "reported",
        "retrying",
        "running",
        "scheduled",
        "seeking",
        "stalled",
        "taken",
        "worker",
    )

    def __init__(self, lane: Lane, position: int, *, worker: int, limits: QueueLimits) -> None:
        self.lane = lane
        self.worker = worker
        self.position = position
        self.expected = position
        self.end: int | None = None
        self.reached: int | None = None
        self.reported: int | None = None
        self.running = False
        self.scheduled = False
        self.dropped = False
        self.abandoned = False
        self.paused = False
        self.taken = True
        self.stalled: str | None = None
        self.lost = False
        self.retrying: str | None = None
        self.seeking: int | None = None
        self._limits = limits
        self._moved = False
        self._follows = position
        self._ahead: KafkaBatch | None = None
        self._pending: list[KafkaMessage] = []
        self._rest: list[KafkaMessage] = []
        self._bytes = 0

    def receive(self, messages: list[KafkaMessage]) -> bool:
        """Keep what was polled; True if the lane is now to be handed to its worker.

        What came after the lane was dropped, stopped or moved is forgotten, and so is what lies before the
        offset that comes next: it was fetched for an earlier assignment.
        """
        if self.dropped or self.stalled is not None or self.seeking is not None:
            return False
        if (messages[0].offset() or 0) < self.expected:
            messages = [m for m in messages if (m.offset() or 0) >= self.expected]
            if len(messages) == 0:
                return False
        self.expected = (messages[-1].offset() or 0) + 1
        self._pending += messages
        self._bytes += sum(map(len, messages))
        return self.schedule()

    def schedule(self) -> bool:
        """True if the lane has work and is not with its worker yet; from then on it counts as handed over."""
        if self.scheduled or self.running or not self.has_work():
            return False
        self.scheduled = True
        return True

    def has_work(self) -> bool:
        if self.dropped or self.stalled is not None or self.seeking is not None:
            return False
        return len(self._rest) > 0 or len(self._pending) > 0

    def has_rest(self) -> bool:
        """Whether `take` gives an undone rest, all of it, whatever the limit."""
        return len(self._rest) > 0

    def take(self, limit: int) -> KafkaBatch | None:
        """The next batch, which then counts as running; None if there is nothing to do any more."""
        self.scheduled = False
        if self.running or not self.has_work():
            return None
        self.retrying = None
        is_rest = len(self._rest) > 0
        if is_rest:
            messages, self._rest = self._rest, []
        elif len(self._pending) <= limit:
            messages, self._pending, self._bytes = self._pending, [], 0
        else:
            messages = self._pending[:limit]
            self._bytes -= self._bytes * limit // len(self._pending)  # near enough for a limit
            del self._pending[:limit]
        self.running = True
        batch = self._seen_ahead(len(messages)) if not is_rest else None
        if batch is None:
            batch = self._batch(self.position, messages)
        self._follows = batch.next_offset
        return batch

    def see_ahead(self, limit: int) -> KafkaBatch | None:
        """The batch that `take` will give after what is taken, if there are so many messages and it was not seen
        yet."""
        if self._ahead is not None or len(self._pending) < limit or not self.has_work():
            return None
        position = self._follows if self.running or self._rest else self.position
        self._ahead = self._batch(position, self._pending[:limit])
        return self._ahead

    def _seen_ahead(self, count: int) -> KafkaBatch | None:
        """The batch of the next messages, if it was seen ahead as it is now."""
        batch, self._ahead = self._ahead, None
        if batch is None or (batch.position == self.position and len(batch) == count):
            return batch
        batch.forget()
        return None

    def _batch(self, position: int, messages: list[KafkaMessage]) -> KafkaBatch:
        return KafkaBatch(self.lane.destination, self.lane.partition, position, messages)

    def finish(self, batch: KafkaBatch, outcome: Outcome) -> int | None:
        """Carry out what was decided of the running batch. Returns after how many milliseconds the lane has
        to be handed to its worker again (it counts as handed over), None if nothing is left to do."""
        self.running = False
        if self.abandoned:
            return None
        if self._moved:  # to where the batch no longer counts
            self._moved = False
            return 0 if self.schedule() else None
        done = outcome.done
        if not 0 <= done <= len(batch) or isinstance(outcome.then, Apart):
            self.stop(f"a defect: {outcome} of a batch of {len(batch)} messages of one partition")
            return None
        self.position = boundary(batch, done)
        match outcome.then:
            case Stop(error):
                self.stop(f"{type(error).__name__}: {error}")
            case Seek(offset):
                self.seek(offset)
            case RetryAfter(delay_ms, reason) if done < len(batch):
                return self._again(batch.rest(done), delay_ms, reason or "asked to try again later")
            case Continue() | RetryAfter():
                return self._again(batch.rest(done), 0, None)
        return None

    def _again(self, rest: list[KafkaMessage], delay_ms: int, reason: str | None) -> int | None:
        if self.dropped:
            return None
        self._rest = rest
        self.retrying = reason
        return delay_ms if self.schedule() else None

    def stop(self, reason: str, *, lost: bool = False) -> None:
        """Nothing is delivered any more; what is in memory is forgotten. `lost`: until the stored position is
        mended."""
        self.stalled = reason
        self.lost = lost
        self._forget()

    def go_on_at(self, offset: int) -> None:
        """The client was moved there: what is in memory counts only if it comes before."""
        if self.lost or offset < self.expected:
            self.stalled, self.lost = None, False
            self.seek(offset)
            self.sought()
        self.expected = offset
        self.forget_end()

    def is_idle(self) -> bool:
        """Whether nothing is done, and nothing is there to do."""
        return (
            not (self.running or self.scheduled or self.has_work()) and self.seeking is None and not self.dropped
        )

    def seek(self, offset: int) -> None:
        """Forget what is in memory, and the running batch, and go on at `offset`; the poll thread moves the client
        there."""
        self._moved = self.running
        self.position = offset
        self.seeking = offset
        self._forget()

    def sought(self) -> None:
        """The client was moved to where `seek` asked for."""
        self.expected = self.position
        self.forget_end()
        self.seeking = None

    def drop(self, *, abandon: bool) -> None:
        """The partition is gone. A running batch still counts when it ends, unless `abandon`."""
        self.dropped = True
        self.abandoned = self.abandoned or abandon
        self._forget()

    def is_full(self) -> bool:
        return len(self._pending) >= self._limits.high or self._bytes >= self._limits.high_bytes

    def overflows(self) -> bool:
        return len(self._pending) >= self._limits.most or self._bytes >= self._limits.most_bytes

    def is_drained(self) -> bool:
        return len(self._pending) <= self._limits.low and self._bytes < self._limits.high_bytes

    def forget_end(self) -> None:
        """What is known of the log's end may be old."""
        self.end = self.reached = None

    def lag(self) -> int | None:
        """`PartitionState.lag`: 0 once the client has said that nothing comes after what it handed out, and that
        is done. Offsets do not tell: a transaction ends with one that is no message."""
        at_end = self.reached is not None and self.position == self.expected <= self.reached
        if at_end and self.is_idle() and not self.paused:
            return 0
        return None if self.end is None or self.end <= self.position else self.end - self.position

    def state(self) -> PartitionState:
        return PartitionState(
            self.lane, self.position, stalled=self.stalled, retrying=self.retrying, lag=self.lag()
        )

    def _forget(self) -> None:
        self._pending, self._rest, self._bytes = [], [], 0
        if self._ahead is not None:
            self._ahead.forget()
            self._ahead = None
        self.retrying = None
