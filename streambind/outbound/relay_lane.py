"""One destination's way to the broker: sends may wait without limit, so each destination has a thread for them
and the relay goes on renewing its leases and serving the others."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streambind.back_off import BackOff
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Failed
from streambind.errors import SendError
from streambind.failpoints import failpoint
from streambind.message import Message
from streambind.outbound.relay_way import Job, Readiness, Result, Way
from streambind.outbound.wire_message import row_message

log = logging.getLogger("streambind.relay")


@dataclass(frozen=True, slots=True)
class Report:
    """How a job ended: with results, with an error, or without having been tried, because the lease or the relay
    ended before the send (`late`), or producers have only now been bound (`fresh`). `lost` are shards that
    somebody else may have by now."""

    destination: str
    job: Job
    results: Sequence[Result] = ()
    error: Exception | None = None
    late: bool = False
    fresh: bool = False
    lost: frozenset[int] = frozenset()


@dataclass(slots=True)
class LaneState:
    """What the relay knows of a destination; only its own thread writes here. Times are monotonic seconds:
    `since` of the job in flight, `not_before` of the next try. `trouble` is the reason for the last failure."""

    back_off: BackOff = field(default_factory=BackOff)
    in_flight: Job | None = None
    since: float = 0.0
    not_before: float = 0.0
    trouble: str | None = None


class Lane:
    """Sends one job at a time on a thread of its own and hands in a report for each."""

    def __init__(
        self,
        destination: str,
        way: Way,
        report: Callable[[Report], None],
        *,
        clock: Callable[[], float],
    ) -> None:
        self.destination = destination
        self.state = LaneState()
        self._way = way
        self._report = report
        self._clock = clock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._purged = False
        self._thread = threading.Thread(target=self._run, name=f"streambind-relay {destination}", daemon=True)
        self._thread.start()

    def dispatch(self, job: Job) -> None:
        """Send the job's rows; at most one at a time."""
        self.state.in_flight, self.state.since = job, self._clock()
        self._jobs.put(job)

    def purge(self) -> None:
        """Make a send that waits return, and send nothing any more; the producer is of no use afterwards."""
        self._purged = True
        try:
            self._way.purge()
        except Exception:
            log.exception("relay: destination %s: the binder failed to purge", self.destination)

    def end(self) -> None:
        """End the thread once its job is done."""
        self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, at most that long."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._report(self._send(job))
        self._way.end()

    def _send(self, job: Job) -> Report:
        try:
            readiness = self._way.prepare(job)
            if readiness is Readiness.FRESH:
                return Report(self.destination, job, fresh=True)
            results, messages = _messages(job)
            # This process may have been stopped since the rows were read, and another relay be at work by now.
            if self._purged or self._clock() >= job.hold.valid_until:
                return Report(self.destination, job, late=True)
            failpoint("relay.before_send")
            sent, lost = self._way.send(job, messages)
            results.update(sent)
            return Report(self.destination, job, [results[i] for i in range(len(job.rows))], lost=lost)
        except Exception as error:  # noqa: BLE001 - whatever happens here is the relay's to report
            return Report(self.destination, job, error=error)


def _messages(job: Job) -> tuple[dict[int, Result], dict[int, Message]]:
    """What can be sent, by the index of its row, and the results of the other rows: one that cannot be read fails
    by itself, and those behind it in its key wait."""
    results: dict[int, Result] = {}
    messages: dict[int, Message] = {}
    order = KeyOrder()
    for i, row in enumerate(job.rows):
        if order.holds_back(row.key):
            results[i] = HELD_BACK
            continue
        try:
            messages[i] = row_message(row, job.source)
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            text = f"row {row.id} of the outbox cannot be read: {type(error).__name__}: {error}"
            results[i] = Failed(SendError(text, permanent=True), permanent=True)
            order.stop(row.key)
    return results, messages
