"""Batches that wait are read while another one of their lane is delivered."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from streambind.binders.kafka.reader_thread import ReaderThread
from streambind.binding.outcome import Outcome
from streambind.message import Batch
from streambind.read_ahead import found_ahead
from streambind.testing.eventually import eventually
from tests.unit.binders.kafka.worker_bench import WITHIN_S, Bench, lane


class Offsets:
    """Reads the offsets of batches."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.threads: set[str] = set()

    def read_ahead(self, batch: Batch) -> Generator[None, None, list[int]]:
        found = []
        for i in range(len(batch)):
            self.threads.add(threading.current_thread().name)
            self.read.append(batch.offset(i))
            found.append(batch.offset(i))
            yield
        return found


class Gate:
    """Lets one delivery at a time go on."""

    def __init__(self, reader: Offsets) -> None:
        self.found: list[list[int] | None] = []
        self._reader = reader
        self._may_end = threading.Semaphore(0)

    def decide(self, batch: Batch) -> Outcome:
        self.found.append(found_ahead(batch, self._reader))
        assert self._may_end.acquire(timeout=WITHIN_S)
        return Outcome(len(batch))

    def open(self) -> None:
        self._may_end.release()


@pytest.fixture
def reader() -> Offsets:
    return Offsets()


@pytest.fixture
def gate(reader: Offsets) -> Gate:
    return Gate(reader)


@pytest.fixture
def bench(reader: Offsets, gate: Gate) -> Iterator[Bench]:
    it = Bench()
    it.reader = ReaderThread("in-x", [reader])
    it.decide = gate.decide
    yield it
    if it.workers is not None:
        it.workers.stop()
        for _ in range(10):
            gate.open()


def test_the_next_whole_batch_is_read_while_one_is_delivered(bench: Bench, reader: Offsets, gate: Gate) -> None:
    bench.start()
    it = lane(0)
    bench.feed(it, 0)
    bench.sees(1)
    bench.feed(it, *range(1, 21))
    eventually(lambda: reader.read == [*range(1, 11)], WITHIN_S, lambda: str(reader.read))
    assert reader.threads == {"streambind-in-x-ahead"}
    gate.open()
    bench.sees(2)
    eventually(lambda: reader.read == [*range(1, 21)], WITHIN_S, lambda: str(reader.read))
    gate.open()
    bench.sees(3)
    assert gate.found == [None, [*range(1, 11)], [*range(11, 21)]]


def test_what_is_no_whole_batch_yet_is_not_read(bench: Bench, reader: Offsets, gate: Gate) -> None:
    bench.start()
    it = lane(0)
    bench.feed(it, 0)
    bench.sees(1)
    bench.feed(it, *range(1, 10))
    gate.open()
    bench.sees(2)
    assert (gate.found, reader.read) == ([None, None], [])


def test_a_batch_of_a_lane_that_is_given_back_is_not_read_on(bench: Bench, gate: Gate) -> None:
    inside, go_on = threading.Event(), threading.Event()
    read = []

    class Slow(Offsets):
        def read_ahead(self, batch: Batch) -> Generator[None, None, list[int]]:
            for i in range(len(batch)):
                read.append(batch.offset(i))
                inside.set()
                assert go_on.wait(WITHIN_S)
                yield
            return read

    bench.reader = ReaderThread("in-x", [Slow()])
    bench.start()
    given_back, other = lane(0), lane(1)
    bench.feed(given_back, 0)
    bench.sees(1)
    bench.feed(given_back, *range(1, 11))
    assert inside.wait(WITHIN_S)
    with bench.state:
        given_back.drop(abandon=False)
    go_on.set()
    bench.feed(other, *range(100, 110))
    eventually(lambda: len(read) == 11, WITHIN_S, lambda: str(read))
    assert read == [1, *range(100, 110)]
