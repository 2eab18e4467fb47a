"""The threads that deliver: each partition is pinned to one, one hop per batch, back-off by timer."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from streambind.binders.kafka.lanes import KafkaLane
from streambind.binding.binder import Deliver
from streambind.binding.outcome import Outcome, Stop

LOG = logging.getLogger("streambind.binders.kafka")


class Workers:
    """`count` threads that take batches from lanes and deliver them.

    `state` guards every lane; it is held for a moment around `take` and `finish`, never while delivering, and
    is notified whenever a delivery ended. `finished(lane)` is called with it held.
    """

    def __init__(
        self,
        binding: str,
        deliver: Deliver,
        *,
        count: int,
        batch: int,
        state: threading.Condition,
        finished: Callable[[KafkaLane], None],
    ) -> None:
        self._binding = binding
        self._deliver = deliver
        self._batch = batch
        self._state = state
        self._finished = finished
        self._stopping = False
        self.held = False
        self._ready: list[SimpleQueue[tuple[float, KafkaLane] | None]] = [SimpleQueue() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(queue,), name=f"streambind-{binding}-worker-{i}", daemon=True)
            for i, queue in enumerate(self._ready)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def least_loaded(self, lanes: Sequence[KafkaLane]) -> int:
        """The worker with the fewest of these lanes."""
        loads = [0] * len(self._ready)
        for lane in lanes:
            loads[lane.worker] += 1
        return loads.index(min(loads))

    def all_busy(self, lanes: Iterable[KafkaLane]) -> bool:
        """Whether each worker that has lanes has something to do."""
        having, busy = set(), set()
        for lane in lanes:
            having.add(lane.worker)
            if lane.running or lane.scheduled:
                busy.add(lane.worker)
        return having == busy

    def hand(self, lane: KafkaLane, delay_ms: int = 0) -> None:
        """Give a scheduled lane to its worker, which takes a batch from it when the time is over."""
        due = time.monotonic() + delay_ms / 1000 if delay_ms > 0 else 0.0
        self._ready[lane.worker].put((due, lane))

    def stop(self) -> None:
        """No new delivery starts; running ones end. With the state held or not."""
        self._stopping = True
        for queue in self._ready:
            queue.put(None)

    def join(self, deadline: float) -> bool:
        """Wait for the threads until the (monotonic) deadline; False if a delivery still runs. A delivery may
        call it: its own thread is not waited for."""
        others = [thread for thread in self._threads if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in others)

    def _run(self, ready: SimpleQueue[tuple[float, KafkaLane] | None]) -> None:
        timers: list[tuple[float, int, KafkaLane]] = []
        order = itertools.count()
        while not self._stopping:
            now = time.monotonic()
            while timers and timers[0][0] <= now:
                ready.put((0.0, heapq.heappop(timers)[2]))
            try:
                item = ready.get(timeout=timers[0][0] - now if timers else None)
            except Empty:
                continue
            if item is None:
                return
            due, lane = item
            if due > 0.0:
                heapq.heappush(timers, (due, next(order), lane))
            else:
                self._work(lane)

    def _work(self, lane: KafkaLane) -> None:
        with self._state:
            if self.held or self._stopping:
                lane.scheduled = False
                return
            batch = lane.take(self._batch)
        if batch is None:
            return
        try:
            outcome = self._deliver(batch)
        except BaseException as defect:
            LOG.exception(
                "binding %s: delivery of %r failed; %s[%d] stops",
                *(self._binding, batch, lane.lane.destination, lane.lane.partition),
            )
            outcome = Outcome(0, Stop(defect))
        with self._state:
            delay_ms = lane.finish(batch, outcome)
            if delay_ms is not None:
                self.hand(lane, delay_ms)
            self._finished(lane)
            self._state.notify_all()
