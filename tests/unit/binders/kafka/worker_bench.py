"""Workers over lanes that a test fills by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable

from streambind.binders.kafka.batch import KafkaBatch
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binders.kafka.reader_thread import ReaderThread
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import Lane
from streambind.binding.outcome import Outcome
from streambind.message import Batch
from streambind.testing.eventually import eventually
from tests.unit.binders.kafka.messages import message

WITHIN_S = 5.0
Decide = Callable[[Batch], Outcome]


class Bench:
    """Workers over lanes that a test fills by hand."""

    def __init__(self) -> None:
        self.joins = False
        self.reader: ReaderThread | None = None
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
            reader=self.reader,
            state=self.state,
            finished=lambda lane: None,
        )
        self.workers.start()
        return self.workers

    def _deliver(self, batch: Batch) -> Outcome:
        assert isinstance(batch, KafkaBatch)
        self.seen.append((batch.partition, batch.offset(0), threading.current_thread().name))
        return self.decide(batch)

    def feed(self, lane: KafkaLane, *offsets: int) -> None:
        assert self.workers is not None
        with self.state:
            if lane.receive([message(offset, partition=lane.lane.partition) for offset in offsets]):
                self.workers.hand(lane)
            self.workers.read_ahead(lane)

    def sees(self, count: int) -> None:
        eventually(lambda: len(self.seen) >= count, WITHIN_S, lambda: f"{self.seen}")


def lane(partition: int, worker: int = 0) -> KafkaLane:
    return KafkaLane(Lane("t", partition), 0, worker=worker, limits=QueueLimits.around(10))
