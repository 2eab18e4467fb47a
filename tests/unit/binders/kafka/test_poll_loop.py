"""What the poll loop does with what it polls, and with partitions that others have doubts about."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from streambind.binders.kafka.admin import KafkaAdmin
from streambind.binders.kafka.assignment import Assignment
from streambind.binders.kafka.batch import KafkaBatch
from streambind.binders.kafka.identity import TopicIdentities
from streambind.binders.kafka.inquiries import Inquiries, Start
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binders.kafka.poll_loop import PollLoop
from streambind.binders.kafka.reader_thread import ReaderThread
from streambind.binders.kafka.reports import OffsetReports
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import Lane
from streambind.binding.outcome import Outcome
from tests.unit.binders.kafka.messages import message


class Client:
    """A client for which arrives what a test lets."""

    def __init__(self) -> None:
        self.arriving: list[Any] = []

    def consume(self, count: int, timeout: float) -> list[Any]:
        arrived, self.arriving = self.arriving, []
        return arrived

    def poll(self, timeout: float) -> None:
        return None

    def incremental_assign(self, partitions: list[Any]) -> None:
        """Taken."""

    def pause(self, partitions: list[Any]) -> None:
        """Paused."""

    def get_watermark_offsets(self, partition: Any, *, cached: bool) -> tuple[int, int]:
        return -1001, -1001


class Troubles:
    def show(self, text: str) -> None:
        raise AssertionError(text)

    def broken(self, text: str) -> None:
        raise AssertionError(text)


class Asked(ReaderThread):
    """Notes which batches it is asked to read."""

    def __init__(self) -> None:
        super().__init__("in-x", [])
        self.batches: list[list[int]] = []

    def begin(self, batch: KafkaBatch) -> None:
        self.batches.append([batch.offset(i) for i in range(len(batch))])


class Bench:
    """A poll loop to which two partitions are assigned."""

    def __init__(self) -> None:
        self.doubted: list[tuple[Lane, str]] = []
        self.reader = Asked()
        state = threading.Condition()
        admin = KafkaAdmin({})
        workers = Workers(
            "in-x",
            lambda batch: Outcome(len(batch)),
            count=1,
            batch=10,
            joins=False,
            state=state,
            finished=lambda lane: None,
            reader=self.reader,
        )
        inquiries = Inquiries(
            "in-x",
            admin,
            group="g",
            policy="earliest",
            positions=None,
            identities=TopicIdentities(admin, {}),
            found=lambda starts: None,
            failed=lambda lanes, text: None,
            reached=lambda: None,
            remade=lambda names: None,
            present=lambda names: None,
            resting=dict,
            moved=lambda lanes: None,
        )
        reports = OffsetReports("in-x", state=state, courtesy=True, failed=lambda text: None)
        self.assignment = Assignment(
            "in-x",
            state=state,
            limits=QueueLimits.around(10),
            workers=workers,
            inquiries=inquiries,
            reports=reports,
            troubles=Troubles(),
        )
        self.client = Client()
        client: Any = self.client
        self.loop = PollLoop(
            "in-x",
            client,
            topics=["t"],
            chunk=10,
            state=state,
            assignment=self.assignment,
            workers=workers,
            reports=reports,
            show=lambda text: None,
            no_longer_held=self._no_longer_held,
            stays=False,
        )
        lanes = [Lane("t", 0), Lane("t", 1)]
        self.assignment.starting.update(dict.fromkeys(lanes))
        self.loop.errands.found({lane: Start(0, "earliest") for lane in lanes})
        self.loop.turn()

    def _no_longer_held(self, lane: KafkaLane, why: str) -> None:
        self.doubted.append((lane.lane, why))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_doubted_partition_is_asked_about_once(bench: Bench) -> None:
    bench.loop.errands.doubt([Lane("t", 1)])
    assert bench.doubted == [], "on the poll thread, not on that of whoever doubts"
    bench.loop.turn()
    assert bench.doubted == [(Lane("t", 1), "its topic was made anew, or its position was moved")]
    bench.loop.turn()
    assert len(bench.doubted) == 1


def test_a_doubted_partition_that_is_not_assigned_is_nobodys_concern(bench: Bench) -> None:
    bench.loop.errands.doubt([Lane("t", 7), Lane("u", 0)])
    bench.loop.turn()
    assert bench.doubted == []


def test_all_doubts_are_settled_in_one_turn(bench: Bench) -> None:
    bench.loop.errands.doubt([Lane("t", 0)])
    bench.loop.errands.doubt([Lane("t", 1)])
    bench.loop.turn()
    assert [lane for lane, _ in bench.doubted] == [Lane("t", 0), Lane("t", 1)]


def test_a_whole_batch_is_to_be_read_ahead_once_it_has_arrived(bench: Bench) -> None:
    bench.client.arriving = [message(offset) for offset in range(9)]
    bench.loop.turn()
    assert bench.reader.batches == []
    bench.client.arriving = [message(9), message(10), *(message(offset, partition=1) for offset in range(10))]
    bench.loop.turn()
    assert bench.reader.batches == [[*range(10)], [*range(10)]]
