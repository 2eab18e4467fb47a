"""What lanes have waiting for one worker is delivered together, and each by itself where that is not to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import Lane
from streambind.binding.outcome import Apart, Continue, Outcome, RetryAfter, Seek, Stop
from streambind.joint_batch import parts_of
from streambind.message import Batch
from streambind.testing.eventually import eventually
from tests.unit.binders.kafka.worker_bench import WITHIN_S, Bench, lane

J = TypeVar("J", bound="Joining")


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


def apart_if_joint(batch: Batch) -> Outcome:
    return Outcome(0, Apart()) if len(parts_of(batch)) > 1 else Outcome(len(batch))


class Interrupted(Joining):
    """Something happens while a joint batch of two partitions is delivered, which then cannot be done together."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = [lane(0), lane(1)]
        self._is_inside, self._may_end = threading.Event(), threading.Event()
        self.decide = self._interrupted

    def by(self, happens: Callable[[Workers, KafkaLane], None]) -> None:
        workers = self.start()
        self.feed(lane(99), 0)
        eventually(lambda: self.given, WITHIN_S, "the first delivery did not come")
        for it in self.lanes:
            self.feed(it, 0)
        self.go_on.set()
        assert self._is_inside.wait(WITHIN_S)
        with self.state:
            happens(workers, self.lanes[0])
        self._may_end.set()

    def ends(self) -> None:
        """What was not interrupted is done."""
        eventually(lambda: self.lanes[1].position == 1, WITHIN_S, lambda: f"{self.given}")

    def _interrupted(self, batch: Batch) -> Outcome:
        if len(parts_of(batch)) > 1:
            self._is_inside.set()
            assert self._may_end.wait(WITHIN_S)
        return apart_if_joint(batch)


@pytest.fixture
def joining() -> Iterator[Joining]:
    yield from used(Joining())


@pytest.fixture
def interrupted() -> Iterator[Interrupted]:
    yield from used(Interrupted())


def used(it: J) -> Iterator[J]:
    yield it
    assert it.workers is not None
    it.workers.stop()
    assert it.workers.join(time.monotonic() + WITHIN_S)


def test_lanes_that_wait_together_are_delivered_together(joining: Joining) -> None:
    assert joining.together(lane(0), lane(1), lane(2)) == [[(0, 0, 1), (1, 0, 1), (2, 0, 1)]]


def test_what_cannot_be_done_together_is_delivered_one_by_one(joining: Joining) -> None:
    joining.decide = apart_if_joint

    given = joining.together(lane(0), lane(1), lane(2))

    assert given == [[(0, 0, 1), (1, 0, 1), (2, 0, 1)], [(0, 0, 1)], [(1, 0, 1)], [(2, 0, 1)]]


@pytest.mark.parametrize("then", [Continue(), RetryAfter(1, "no"), Seek(7), Stop(ValueError("no"))])
def test_a_joint_batch_that_is_not_done_as_a_whole_counts_as_not_done(
    joining: Joining, then: Continue | RetryAfter | Seek | Stop
) -> None:
    joining.decide = lambda batch: Outcome(1, then) if len(parts_of(batch)) > 1 else Outcome(len(batch))

    assert joining.together(lane(0), lane(1))[1:] == [[(0, 0, 1)], [(1, 0, 1)]]


def test_nothing_is_delivered_by_itself_after_stop(interrupted: Interrupted) -> None:
    interrupted.by(lambda workers, _: workers.stop())

    assert interrupted.workers is not None
    assert interrupted.workers.join(time.monotonic() + WITHIN_S)
    assert len(interrupted.given) == 2


def test_nothing_is_delivered_by_itself_while_workers_are_held(interrupted: Interrupted) -> None:
    def hold(workers: Workers, _: KafkaLane) -> None:
        workers.held = True

    interrupted.by(hold)

    lanes = interrupted.lanes
    eventually(lambda: not any(it.running or it.scheduled for it in lanes), WITHIN_S, "the worker did not look")
    assert len(interrupted.given) == 2
    assert [it.position for it in interrupted.lanes] == [0, 0]
    assert all(it.schedule() for it in interrupted.lanes)  # Nothing is forgotten.


def test_a_lane_that_was_dropped_meanwhile_is_not_delivered_by_itself(interrupted: Interrupted) -> None:
    interrupted.by(lambda _, it: it.drop(abandon=False))

    interrupted.ends()
    assert interrupted.given[2:] == [[(1, 0, 1)]]


def test_a_lane_that_was_moved_meanwhile_is_not_delivered_from_where_it_was(interrupted: Interrupted) -> None:
    interrupted.by(lambda _, it: it.seek(5))

    interrupted.ends()
    assert interrupted.given[2:] == [[(1, 0, 1)]]
    assert interrupted.lanes[0].position == 5


def test_a_rest_is_delivered_alone(joining: Joining) -> None:
    tried = {99}

    def decide(batch: Batch) -> Outcome:
        if len(parts_of(batch)) > 1:
            return Outcome(0, Apart())
        is_first = batch.partition not in tried
        tried.add(batch.partition)
        return Outcome(0 if is_first else len(batch))

    joining.decide = decide
    alone = [[(0, 0, 5)], [(1, 0, 5)]]

    assert joining.together(lane(0), lane(1), each=5) == [[(0, 0, 5), (1, 0, 5)], *alone, *alone]


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
