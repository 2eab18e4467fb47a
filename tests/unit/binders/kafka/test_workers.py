"""The threads that deliver: one hop, pinned lanes, timers, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from streambind.binders.kafka.batch import KafkaBatch
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import Lane
from streambind.binding.outcome import Apart, Outcome, RetryAfter
from streambind.joint_batch import parts_of
from streambind.message import Batch
from streambind.testing.eventually import eventually
from tests.unit.binders.kafka.messages import message

WITHIN_S = 5.0
Decide = Callable[[Batch], Outcome]


class Bench:
    """Workers over lanes that a test fills by hand."""

    def __init__(self) -> None:
        self.joins = False
        self.state = threading.Condition()
        self.seen: list[tuple[int, int, str]] = []
        self.decide: Decide = lambda batch: Outcome(len(batch))
        self.workers: Workers | None = None

    def start(self, count: int = 1) -> Workers:
        self.workers = Workers(
            "in-x",
            self._deliver,
            count=count,
            batch=10,
            joins=self.joins,
            state=self.state,
            finished=lambda lane: None,
        )
        self.workers.start()
        return self.workers

    def _deliver(self, batch: Batch) -> Outcome:
        assert isinstance(batch, KafkaBatch)
        self.seen.append((batch.partition, batch.offset(0), threading.current_thread().name))
        return self.decide(batch)

    def feed(self, lane: KafkaLane, offset: int) -> None:
        assert self.workers is not None
        with self.state:
            if lane.receive([message(offset, partition=lane.lane.partition)]):
                self.workers.hand(lane)

    def sees(self, count: int) -> None:
        eventually(lambda: len(self.seen) >= count, WITHIN_S, lambda: f"{self.seen}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    it = Bench()
    yield it
    if it.workers is not None:
        it.workers.stop()
        assert it.workers.join(time.monotonic() + WITHIN_S)


def lane(partition: int, worker: int = 0) -> KafkaLane:
    return KafkaLane(Lane("t", partition), 0, worker=worker, limits=QueueLimits.around(10))


def test_each_lane_keeps_its_worker(bench: Bench) -> None:
    bench.start(2)
    lanes = [lane(0, 0), lane(1, 1)]
    for offset in range(5):
        for it in lanes:
            bench.feed(it, offset)
            bench.sees(len(bench.seen))
    eventually(lambda: all(it.position == 5 for it in lanes), WITHIN_S, "not everything was delivered")
    for partition in range(2):
        assert {name for p, _, name in bench.seen if p == partition} == {f"streambind-in-x-worker-{partition}"}


def test_a_new_lane_goes_to_the_worker_with_the_fewest(bench: Bench) -> None:
    workers = bench.start(3)
    assert workers.least_loaded([]) == 0
    assert workers.least_loaded([lane(0, 0), lane(1, 1)]) == 2
    assert workers.least_loaded([lane(0, 0), lane(1, 1), lane(2, 2)]) == 0


def test_a_retry_waits_while_other_lanes_go_on(bench: Bench) -> None:
    bench.start()
    waiting, other = lane(0), lane(1)
    times: list[float] = []

    def decide(batch: Batch) -> Outcome:
        if batch.partition == 0:
            times.append(time.monotonic())
            return Outcome(0, RetryAfter(200)) if len(times) == 1 else Outcome(1)
        return Outcome(1)

    bench.decide = decide
    bench.feed(waiting, 0)
    bench.sees(1)
    bench.feed(other, 0)
    eventually(lambda: waiting.position == 1, WITHIN_S, "the retry did not come")
    assert [partition for partition, _, _ in bench.seen] == [0, 1, 0]
    assert times[1] - times[0] >= 0.2


def test_due_retries_take_their_turn_among_busy_lanes(bench: Bench) -> None:
    bench.start()
    busy, retrying = lane(0), lane(1)
    bench.decide = lambda batch: Outcome(0) if batch.partition == 0 else Outcome(0, RetryAfter(1))
    bench.feed(busy, 0)
    bench.feed(retrying, 0)
    eventually(
        lambda: sum(p == 1 for p, _, _ in bench.seen) > 5, WITHIN_S, "a lane that never rests starves the other"
    )


def test_held_workers_begin_nothing_and_forget_nothing(bench: Bench) -> None:
    workers = bench.start()
    it = lane(0)
    with bench.state:
        workers.held = True
    bench.feed(it, 0)
    eventually(lambda: not it.scheduled, WITHIN_S, "the worker did not look")
    assert bench.seen == []
    with bench.state:
        workers.held = False
        assert it.schedule()
        workers.hand(it)
    bench.sees(1)


def test_a_defect_stops_its_lane_only(bench: Bench) -> None:
    bench.start()
    broken, other = lane(0), lane(1)

    def decide(batch: Batch) -> Outcome:
        if batch.partition == 0:
            raise RuntimeError("a defect")
        return Outcome(1)

    bench.decide = decide
    bench.feed(broken, 0)
    bench.feed(other, 0)
    eventually(lambda: other.position == 1, WITHIN_S, "the other lane did not go on")
    assert broken.stalled == "RuntimeError: a defect"


def test_nothing_is_delivered_after_stop(bench: Bench) -> None:
    workers = bench.start()
    gate = threading.Event()
    bench.decide = lambda batch: Outcome(len(batch) if gate.wait(WITHIN_S) else 0)
    it = lane(0)
    bench.feed(it, 0)
    bench.sees(1)
    bench.feed(it, 1)
    workers.stop()
    assert not workers.join(time.monotonic())
    gate.set()
    assert workers.join(time.monotonic() + WITHIN_S)
    assert len(bench.seen) == 1
    assert it.position == 1


def test_idle_workers_are_told_from_busy_ones(bench: Bench) -> None:
    workers = bench.start(2)
    one, two = lane(0, 0), lane(1, 1)
    assert workers.all_busy([])
    assert not workers.all_busy([one])
    one.running = True
    assert workers.all_busy([one])
    assert not workers.all_busy([one, two])


class Joining(Bench):
    """Workers whose first delivery waits until the test lets it go on; lanes that are fed meanwhile wait
    together."""

    def __init__(self) -> None:
        super().__init__()
        self.joins = True
        self.given: list[list[tuple[int, int, int]]] = []
        self.go_on = threading.Event()

    def _deliver(self, batch: Batch) -> Outcome:
        parts = parts_of(batch)
        self.given.append([(part.partition, part.offset(0), len(part)) for part in parts])
        if len(self.given) == 1:
            assert self.go_on.wait(WITHIN_S)
        return self.decide(batch)

    def together(self, *lanes: KafkaLane, each: int = 1) -> list[list[tuple[int, int, int]]]:
        """What is delivered of lanes that have so many messages waiting when the worker looks, until all is."""
        first = lane(99)
        self.start()
        self.feed(first, 0)
        eventually(lambda: self.given, WITHIN_S, "the first delivery did not come")
        for it in lanes:
            for offset in range(each):
                self.feed(it, offset)
        self.go_on.set()
        eventually(lambda: all(it.position == each for it in lanes), WITHIN_S, lambda: f"{self.given}")
        return self.given[1:]


@pytest.fixture
def joining() -> Iterator[Joining]:
    it = Joining()
    yield it
    assert it.workers is not None
    it.workers.stop()
    assert it.workers.join(time.monotonic() + WITHIN_S)


def test_lanes_that_wait_together_are_delivered_together(joining: Joining) -> None:
    assert joining.together(lane(0), lane(1), lane(2)) == [[(0, 0, 1), (1, 0, 1), (2, 0, 1)]]


def test_what_cannot_be_done_together_is_delivered_one_by_one(joining: Joining) -> None:
    joining.decide = lambda batch: Outcome(0, Apart()) if len(parts_of(batch)) > 1 else Outcome(len(batch))

    given = joining.together(lane(0), lane(1), lane(2))

    assert given[0] == [(0, 0, 1), (1, 0, 1), (2, 0, 1)]
    assert [each for each in given if len(each) == 1] == [[(0, 0, 1)], [(1, 0, 1)], [(2, 0, 1)]]


def test_a_defect_of_a_joint_delivery_is_found_in_its_own_lane(joining: Joining) -> None:
    def decide(batch: Batch) -> Outcome:
        if any(part.partition == 1 for part in parts_of(batch)):
            raise RuntimeError("a defect")
        return Outcome(len(batch))

    joining.decide = decide
    guilty, other = lane(1), lane(0)
    joining.start()
    joining.feed(lane(99), 0)
    eventually(lambda: joining.given, WITHIN_S, "the first delivery did not come")
    joining.feed(guilty, 0)
    joining.feed(other, 0)
    joining.go_on.set()

    eventually(lambda: other.position == 1 and guilty.stalled is not None, WITHIN_S, lambda: f"{joining.given}")
    assert other.stalled is None


def test_lanes_of_different_destinations_are_delivered_apart(joining: Joining) -> None:
    elsewhere = KafkaLane(Lane("u", 0), 0, worker=0, limits=QueueLimits.around(10))

    assert joining.together(lane(0), elsewhere, lane(1)) == [[(0, 0, 1), (1, 0, 1)], [(0, 0, 1)]]


def test_together_they_are_no_more_than_one_batch_may_be(joining: Joining) -> None:
    given = joining.together(*map(lane, range(4)), each=4)

    assert max(sum(size for _, _, size in batch) for batch in given) <= 10


def test_a_full_batch_is_delivered_alone(joining: Joining) -> None:
    assert joining.together(lane(0), lane(1), each=10) == [[(0, 0, 10)], [(1, 0, 10)]]


def test_lanes_are_delivered_apart_where_nobody_asked_for_more(joining: Joining) -> None:
    joining.joins = False

    assert joining.together(lane(0), lane(1)) == [[(0, 0, 1)], [(1, 0, 1)]]
