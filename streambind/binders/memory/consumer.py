"""An input binding: one thread that keeps the membership, `concurrency` threads that deliver."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.log import MemoryBatch, OutsideLog
from streambind.binders.memory.progress import Progress, describe
from streambind.binders.memory.properties import MemoryConsumerProperties
from streambind.binders.memory.start import Start
from streambind.binding.binder import ConsumerTarget, Deliver, Lane, PartitionState
from streambind.binding.lost_position import outside_log, replaced
from streambind.binding.outcome import Stop
from streambind.errors import BrokerUnavailableError, PositionLostError

logger = logging.getLogger(__name__)

Work = tuple[Progress, MemoryBatch | None]
"""What a worker does next: deliver the batch, or without one find out where the lane starts."""


class MemoryConsumerBinding:
    """A `ConsumerBinding`. Nothing is prefetched: a worker reads the log when a lane's turn comes.

    Lock order: the binding's condition before the broker's locks, never the other way; the broker calls back
    without holding its own.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        target: ConsumerTarget,
        properties: MemoryConsumerProperties,
        group: str,
        deliver: Deliver,
    ) -> None:
        self._broker = broker
        self._target = target
        self._group = group
        self._place = (target.binding, group)
        self._deliver = deliver
        self._max_batch = properties.max_batch
        self._start = Start(broker, target, group, properties)
        self._condition = threading.Condition()
        self._reporting = threading.Lock()
        self._lanes: dict[Lane, Progress] = {}
        self._running: dict[Lane, int] = {}
        self._paused = self._closing = self._left = False
        self._look_again = True
        self._last_error: str | None = None
        self._member = broker.groups.join(group, target.destinations, self._on_change)
        self._unwatch = broker.watch(target.destinations, self._wake)
        self._threads = [threading.Thread(target=self._keep, name=f"{target.binding}-membership", daemon=True)]
        self._threads += [
            threading.Thread(target=self._work, name=f"{target.binding}-worker-{n}", daemon=True)
            for n in range(target.properties.concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def pause(self) -> None:
        with self._condition:
            self._paused = True

    def resume(self) -> None:
        with self._condition:
            self._paused = False
            self._condition.notify_all()

    def partitions(self) -> Sequence[PartitionState]:
        with self._condition:
            states = [self._state(progress) for progress in self._lanes.values()]
        return sorted(states, key=lambda state: (state.lane.destination, state.lane.partition))

    def _state(self, progress: Progress) -> PartitionState:
        position = progress.position
        lag = None if position is None else self._broker.lag(progress.lane, position)
        return replace(progress.state(), lag=lag)

    def last_error(self) -> str | None:
        return self._last_error

    def away(self) -> str | None:
        return None  # It is in this process.

    @property
    def is_bound(self) -> bool:
        return not self._closing

    def unbind(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        me = threading.get_ident()
        with self._condition:
            self._closing = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: not (set(self._running.values()) - {me}), timeout_ms / 1000)
            first, self._left = not self._left, True
        if first:
            self._leave()
        for thread in self._threads:
            if thread.ident != me:
                thread.join(max(0.0, deadline - time.monotonic()))
        with self._condition:
            self._lanes.clear()

    # Membership

    def _keep(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._look_again or self._closing)
                if self._closing:
                    return
                self._look_again = False
            try:
                self._follow_assignment()
            except BrokerUnavailableError as error:
                self._last_error = describe(error)  # the broker calls back when it is up

    def _follow_assignment(self) -> None:
        owned, to_release = self._broker.groups.assignment(self._group, self._member)
        with self._condition:
            for lane, progress in self._lanes.items():
                progress.revoked = lane in to_release
            going = to_release - self._running.keys()
        self._report()
        with self._condition:
            for lane in going & self._lanes.keys():
                del self._lanes[lane]
            for lane in owned - to_release - self._lanes.keys():
                self._lanes[lane] = Progress(lane)
            self._condition.notify_all()
        if going:
            self._broker.groups.release(self._group, self._member, going)

    def _report(self) -> None:
        with self._reporting:
            with self._condition:
                moved = {lane: p.position for lane, p in self._lanes.items() if p.position != p.reported}
            offsets = {lane: position for lane, position in moved.items() if position is not None}
            if offsets:
                self._broker.groups.commit(self._group, self._member, offsets)
            with self._condition:
                for lane in offsets.keys() & self._lanes.keys():
                    self._lanes[lane].reported = offsets[lane]

    def _leave(self) -> None:
        try:
            self._report()
        except BrokerUnavailableError as error:
            self._last_error = describe(error)  # what is not reported comes again
        self._unwatch()
        self._broker.groups.leave(self._group, self._member)
        if self._target.group is None:
            self._broker.groups.forget(self._group)

    def _on_change(self) -> None:
        with self._condition:
            self._look_again = True
            self._condition.notify_all()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    # Workers

    def _work(self) -> None:
        while True:
            with self._condition:
                work = self._next()
                while work is None and not self._closing:
                    self._condition.wait(self._patience_s())
                    work = self._next()
                if work is None:
                    return
                progress, batch = work
                self._running[progress.lane] = threading.get_ident()
            if batch is None:
                self._find_start(progress)
            else:
                self._hand_over(progress, batch)

    def _next(self) -> Work | None:
        if self._closing or self._paused:
            return None
        now_s = time.monotonic()
        for lane, progress in list(self._lanes.items()):
            if lane in self._running or not progress.is_ready(now_s):
                continue
            if progress.position is None:
                return progress, None
            batch = progress.rest or self._fetch(progress, progress.position)
            if batch is not None:
                self._lanes[lane] = self._lanes.pop(lane)  # the others' turn comes first
                return progress, batch
        return None

    def _fetch(self, progress: Progress, position: int) -> MemoryBatch | None:
        lane, now = progress.lane, self._broker.identity(progress.lane.destination)
        if progress.identity is not None and progress.identity != now:
            self._lose(progress, replaced(*self._place, lane, position, was=progress.identity, now=now))
            return None
        try:
            records = self._broker.fetch(lane, position, self._max_batch)
        except OutsideLog as outside:
            lost = outside_log(*self._place, lane, position, start=outside.start, end=outside.end)
            self._lose(progress, lost or PositionLostError(str(outside)))
            return None
        return MemoryBatch(progress.lane, position, records) if records else None

    def _lose(self, progress: Progress, lost: PositionLostError) -> None:
        """The position means nothing any more: without a store the start policy decides."""
        if self._target.positions is not None:
            self._stall(progress, lost)
            return
        logger.warning("%s", lost)
        progress.position = None
        progress.lost = True

    def _patience_s(self) -> float | None:
        """How long until the first back-off is over."""
        now_s = time.monotonic()
        waits = [p.ready_at_s - now_s for lane, p in self._lanes.items() if lane not in self._running]
        return min((wait for wait in waits if wait > 0), default=None)

    def _find_start(self, progress: Progress) -> None:
        progress.identity = self._broker.identity(progress.lane.destination)
        try:
            find = self._start.reset if progress.lost else self._start.position
            position, source = find(progress.lane)
        except PositionLostError as lost:
            with self._finished(progress):
                self._stall(progress, lost)
        except Exception as error:  # noqa: BLE001 - whatever the store raises: ask again later
            with self._finished(progress):
                self._last_error = describe(error)
                progress.start_later(describe(error), time.monotonic())
        else:
            with self._finished(progress):
                progress.start_at(position, report=source == "latest")

    def _hand_over(self, progress: Progress, batch: MemoryBatch) -> None:
        try:
            outcome = self._deliver(batch)
            with self._finished(progress):
                progress.settle(batch, outcome, time.monotonic())
                if isinstance(outcome.then, Stop):
                    self._stall(progress, outcome.then.error)
        except BaseException as defect:
            logger.exception("%s: delivering from %s failed", self._target.binding, progress.lane)
            with self._finished(progress):
                self._stall(progress, defect)

    def _stall(self, progress: Progress, error: BaseException) -> None:
        progress.stall(describe(error))
        self._last_error = describe(error)
        logger.error("%s: %s stopped: %s", self._target.binding, progress.lane, describe(error))

    @contextmanager
    def _finished(self, progress: Progress) -> Iterator[None]:
        """For the end of a worker's turn in a lane."""
        with self._condition:
            try:
                yield
            finally:
                self._running.pop(progress.lane, None)
                self._look_again = True
                self._condition.notify_all()
