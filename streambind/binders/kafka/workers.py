"""The threads that deliver: each partition is pinned to one, one hop per batch, back-off by timer."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from streambind.binders.kafka.batch import KafkaBatch
from streambind.binders.kafka.lanes import KafkaLane
from streambind.binders.kafka.reader_thread import ReaderThread
from streambind.binding.binder import Deliver
from streambind.binding.outcome import Outcome, Stop
from streambind.joint_batch import JointBatch, parts_of
from streambind.message import Batch

LOG = logging.getLogger("streambind.binders.kafka")


class Workers:
    """`count` threads that take batches from lanes and deliver them; those of lanes that wait for the same thread
    together, if it `joins` them. Batches that wait are read ahead by `reader`.

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
        joins: bool,
        state: threading.Condition,
        finished: Callable[[KafkaLane], None],
        reader: ReaderThread | None = None,
    ) -> None:
        self._binding = binding
        self._deliver = deliver
        self._batch = batch
        self._joins = joins
        self._state = state
        self._finished = finished
        self._reader = reader
        self._stopping = False
        self.held = False
        self._ready: list[SimpleQueue[tuple[float, KafkaLane] | None]] = [SimpleQueue() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(queue,), name=f"streambind-{binding}-worker-{i}", daemon=True)
            for i, queue in enumerate(self._ready)
        ]

    def start(self) -> None:
        if self._reader is not None:
            self._reader.start()
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

    def read_ahead(self, lane: KafkaLane) -> None:
        """Have the lane's next batch read, if it is a whole one. With the state held."""
        if self._reader is not None and (batch := lane.see_ahead(self._batch)) is not None:
            self._reader.begin(batch)

    def stop(self) -> None:
        """No new delivery starts; running ones end. With the state held or not."""
        self._stopping = True
        if self._reader is not None:
            self._reader.stop()
        for queue in self._ready:
            queue.put(None)

    def join(self, deadline: float) -> bool:
        """Wait for the threads until the (monotonic) deadline; False if a delivery still runs. A delivery may
        call it: its own thread is not waited for."""
        threads = self._threads if self._reader is None else [*self._threads, self._reader.thread]
        others = [thread for thread in threads if thread is not threading.current_thread()]
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
                self._work([lane, *self._also_ready(ready)])

    def _also_ready(self, ready: SimpleQueue[tuple[float, KafkaLane] | None]) -> list[KafkaLane]:
        """Lanes whose batches may be joined to that of another."""
        lanes: list[KafkaLane] = []
        while self._joins and not ready.empty():
            item = ready.get()  # Nobody else takes any.
            if item is None or item[0] > 0.0:
                ready.put(item)
                break
            lanes.append(item[1])
        return lanes

    def _work(self, lanes: Sequence[KafkaLane]) -> None:
        taken = self._take(lanes)
        if len(taken) == 1:
            lane, batch = taken[0]
            self._finish([(lane, batch, self._outcome(batch))])
        elif taken:
            joint = JointBatch([batch for _, batch in taken])
            is_done = self._outcome(joint) == Outcome(len(joint))
            # Else each comes back as a rest, which is delivered by itself.
            self._finish([(lane, batch, Outcome(len(batch) if is_done else 0)) for lane, batch in taken])

    def _take(self, lanes: Sequence[KafkaLane]) -> list[tuple[KafkaLane, KafkaBatch]]:
        """The next batches of lanes, as many of one destination as there is room for in one of them; a rest is
        taken alone. The turn of the others comes."""
        taken: list[tuple[KafkaLane, KafkaBatch]] = []
        room = self._batch
        with self._state:
            for lane in lanes:
                if self.held or self._stopping:
                    lane.scheduled = False
                elif taken and (
                    2 * room < self._batch or lane.has_rest() or lane.lane.destination != taken[0][1].destination
                ):
                    self.hand(lane)
                else:
                    is_rest = lane.has_rest()
                    if (batch := lane.take(room)) is not None:
                        taken.append((lane, batch))
                        room = 0 if is_rest else room - len(batch)
                        self.read_ahead(lane)
        return taken

    def _outcome(self, batch: Batch) -> Outcome:
        try:
            return self._deliver(batch)
        except BaseException as defect:
            then = "it stops" if len(parts_of(batch)) == 1 else "each partition is delivered by itself"
            LOG.exception("binding %s: delivery of %r failed; %s", self._binding, batch, then)
            return Outcome(0, Stop(defect))

    def _finish(self, ended: Sequence[tuple[KafkaLane, KafkaBatch, Outcome]]) -> None:
        with self._state:
            for lane, batch, outcome in ended:
                delay_ms = lane.finish(batch, outcome)
                if delay_ms is not None:
                    self.hand(lane, delay_ms)
                self._finished(lane)
            self._state.notify_all()
