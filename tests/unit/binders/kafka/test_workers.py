"""The threads that deliver: one hop, pinned lanes, timers, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from streambind.binding.outcome import Outcome, RetryAfter
from streambind.message import Batch
from streambind.testing.eventually import eventually
from tests.unit.binders.kafka.worker_bench import WITHIN_S, Bench, lane


@pytest.fixture
def bench() -> Iterator[Bench]:
    it = Bench()
    yield it
    if it.workers is not None:
        it.workers.stop()
        assert it.workers.join(time.monotonic() + WITHIN_S)


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
