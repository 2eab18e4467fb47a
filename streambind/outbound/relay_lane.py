"""One destination's way to the broker: sends may wait without limit, so each destination has a thread for them
and the relay goes on renewing its leases and serving the others."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streambind.back_off import BackOff
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Failed, Sent
from streambind.errors import SendError
from streambind.failpoints import failpoint
from streambind.outbound.relay_way import Job, Readiness, Result, Way
from streambind.outbound.wire_message import check_row

log = logging.getLogger("streambind.relay")


@dataclass(frozen=True, slots=True)
class Report:
    """How a job ended: with results, with an error, or without having been tried, because the lease or the relay
    ended before the send or the job before it did not get through (`late`), or producers have only now been bound
    (`fresh`). `lost` are shards that somebody else may have by now."""

    destination: str
    job: Job
    results: Sequence[Result] = ()
    error: Exception | None = None
    late: bool = False
    fresh: bool = False
    lost: frozenset[int] = frozenset()

    @property
    def got_through(self) -> bool:
        """Whether the broker has all of it."""
        return set(map(type, self.results)) == {Sent}


@dataclass(slots=True)
class LaneState:
    """What the relay knows of a destination; only its own thread writes here. `jobs` are those that it has not
    been told the end of: the one in flight, and behind it perhaps the next. Times are monotonic seconds: `since`
    when the first of them is under way, `not_before` of the next try. `trouble` is the reason for the last
    failure."""

    back_off: BackOff = field(default_factory=BackOff)
    jobs: deque[Job] = field(default_factory=deque)
    since: float = 0.0
    not_before: float = 0.0
    trouble: str | None = None


class Lane:
    """Sends one job at a time on a thread of its own and hands in a report for each, in order. The next one is
    made ready meanwhile, and is sent without waiting for anybody if all of the one before got through."""

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
        self._jobs: queue.SimpleQueue[_Ready | None] = queue.SimpleQueue()
        self._purged = False
        self._thread = threading.Thread(target=self._run, name=f"streambind-relay {destination}", daemon=True)
        self._thread.start()

    def dispatch(self, job: Job) -> None:
        """Send the job's rows, behind what is under way."""
        if not self.state.jobs:
            self.state.since = self._clock()
        self.state.jobs.append(job)
        self._jobs.put(_Ready(job, *_sorted_out(job)))

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
        got_through = True
        while (ready := self._jobs.get()) is not None:
            if got_through or not ready.job.behind:
                report = self._send(ready)
            else:
                report = Report(self.destination, ready.job, late=True)
            got_through = report.got_through
            self._report(report)
        self._way.end()

    def _send(self, ready: _Ready) -> Report:
        job, refused, chosen = ready
        try:
            readiness = self._way.prepare(job)
            if readiness is Readiness.FRESH:
                return Report(self.destination, job, fresh=True)
            # This process may have been stopped since the rows were read, and another relay be at work by now.
            if self._purged or self._clock() >= job.hold.valid_until:
                return Report(self.destination, job, late=True)
            failpoint("relay.before_send")
            results, lost = self._way.send(job, chosen)
            if refused:
                every = refused | dict(zip(chosen, results, strict=True))
                results = [every[i] for i in range(len(job.rows))]
            return Report(self.destination, job, results, lost=lost)
        except Exception as error:  # noqa: BLE001 - whatever happens here is the relay's to report
            return Report(self.destination, job, error=error)


class _Ready(NamedTuple):
    """A job, and of its rows, by their index, the results of those that cannot be sent, and the others."""

    job: Job
    refused: dict[int, Result]
    chosen: Sequence[int]


def _sorted_out(job: Job) -> tuple[dict[int, Result], Sequence[int]]:
    """The results of rows that cannot be sent, and the rest: one that cannot be read fails by itself, and those
    behind it in its key wait."""
    results: dict[int, Result] = {}
    order = KeyOrder()
    for i, row in enumerate(job.rows):
        if order.holds_back(row.key):
            results[i] = HELD_BACK
            continue
        try:
            check_row(row)
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            text = f"row {row.id} of the outbox cannot be read: {type(error).__name__}: {error}"
            results[i] = Failed(SendError(text, permanent=True), permanent=True)
            order.stop(row.key)
    every = range(len(job.rows))
    return results, [i for i in every if i not in results] if results else every
