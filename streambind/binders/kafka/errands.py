"""What other threads want done with the client, which only the poll thread may call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from queue import Empty, SimpleQueue

from confluent_kafka import Consumer

from streambind.binders.kafka.assignment import Assignment
from streambind.binders.kafka.fetching import Fetching
from streambind.binders.kafka.inquiries import Start
from streambind.binders.kafka.lanes import KafkaLane
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import Lane


class Errands:
    """Of one client. `pause()` and `resume()` of the binding are among them: they are seen at the workers."""

    def __init__(
        self,
        client: Consumer,
        *,
        state: threading.Condition,
        assignment: Assignment,
        workers: Workers,
        fetching: Fetching,
        no_longer_held: Callable[[KafkaLane, str], None],
    ) -> None:
        self._client = client
        self._state = state
        self._assignment = assignment
        self._workers = workers
        self._fetching = fetching
        self._no_longer_held = no_longer_held
        self._starts: SimpleQueue[Mapping[Lane, Start]] = SimpleQueue()
        self._doubted: SimpleQueue[Lane] = SimpleQueue()
        self._calls: set[KafkaLane] = set()
        self._held = False
        self._look_again = False

    def found(self, starts: Mapping[Lane, Start]) -> None:
        """Where partitions start; from any thread."""
        self._starts.put(starts)

    def doubt(self, lanes: Collection[Lane]) -> None:
        """What comes next of these may not be what was asked for: their topic was made again, or their stored
        positions were moved; from any thread."""
        for lane in lanes:
            self._doubted.put(lane)

    def calls_for(self, lane: KafkaLane) -> None:
        """The lane may need the client: to seek, to pause, to resume. With the state held."""
        if lane.seeking is not None or (lane.paused and lane.is_drained()) or lane.stalled is not None:
            self._calls.add(lane)

    def look_again(self) -> None:
        """The broker was away: where the logs end must be found out again. From any thread."""
        self._look_again = True

    def carry_out(self) -> None:
        """Do what has been asked for; on the poll thread."""
        while True:
            try:
                starts = self._starts.get_nowait()
            except Empty:
                break
            self._assignment.begin(self._client, starts)
            if self._held:
                self._fetching.pause([lane for lane in self._assignment.lanes.values() if lane.lane in starts])
        while not self._doubted.empty():
            name = self._doubted.get()
            doubted = self._assignment.lanes.get((name.destination, name.partition))
            if doubted is not None:
                self._no_longer_held(doubted, "its topic was made anew, or its position was moved")
        if self._calls:
            with self._state:
                lanes, self._calls = self._calls, set()
            for lane in lanes:
                self._serve(lane)
        if self._held != self._workers.held:
            self._hold(self._workers.held)
        if self._look_again and not self._held:
            self._look_again = False
            self._fetch_anew()

    def _serve(self, lane: KafkaLane) -> None:
        if lane.dropped:
            return
        if lane.stalled is not None:
            if not lane.paused:
                lane.paused = True
                self._fetching.pause([lane])
        elif lane.seeking is not None:
            self._assignment.move(self._client, lane)
            if self._held:
                self._fetching.pause([lane])
        elif lane.paused and not self._held:
            lane.paused = False
            self._fetching.resume([lane])

    def _hold(self, held: bool) -> None:
        """Carry out `pause()` and `resume()` of the binding."""
        self._held = held
        lanes = [lane for lane in self._assignment.lanes.values() if lane.stalled is None and not lane.paused]
        if held:
            self._fetching.pause(lanes)
            return
        self._fetching.resume(lanes)
        with self._state:
            for lane in self._assignment.lanes.values():
                self.calls_for(lane)

    def _fetch_anew(self) -> None:
        """The client tells of an end once for each position that it fetches from: begin there again."""
        lanes = [lane for lane in self._assignment.lanes.values() if lane.stalled is None and not lane.paused]
        self._fetching.pause(lanes)
        self._fetching.resume(lanes)
