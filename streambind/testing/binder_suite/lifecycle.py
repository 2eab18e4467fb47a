"""Pausing, unbinding, and how many deliveries run at once."""

from __future__ import annotations

import threading
import time

from streambind.binding.outcome import Outcome, RetryAfter
from streambind.message import Batch
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.binder_suite.input import done_after


class TestPause:
    def test_nothing_is_delivered_until_resume(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        it.binding.pause()
        it.binding.pause()
        bench.send(destination, b"2", b"3")
        bench.time_passes()
        assert [m.payload for m in it.seen] == [b"1"]
        assert len(it.binding.partitions()) == 1
        it.binding.resume()
        it.binding.resume()
        bench.handled(it, [b"1", b"2", b"3"])

    def test_the_running_delivery_ends_and_counts(self, bench: Bench) -> None:
        destination = bench.destination()
        gate = bench.gate()
        group = bench.group()
        it = bench.input(destination, done_after(gate), group=group)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.active, "nothing is delivered")
        it.binding.pause()
        bench.send(destination, b"2")
        gate.set()
        bench.committed(group, destination, {0: 1})
        bench.time_passes()
        assert [m.payload for m in it.seen] == [b"1"]
        it.binding.resume()
        bench.handled(it, [b"1", b"2"])

    def test_a_retry_waits_for_resume_too(self, bench: Bench) -> None:
        destination = bench.destination()
        tries: list[int] = []

        def decide(batch: Batch) -> Outcome:
            tries.append(1)
            if len(tries) == 1:
                it.binding.pause()
                return Outcome(0, RetryAfter(1))
            return Outcome(len(batch))

        it = bench.input(destination, decide)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.deliveries, "nothing was delivered")
        bench.time_passes()
        assert len(tries) == 1
        it.binding.resume()
        bench.handled(it, [b"1"])


class TestUnbind:
    def test_nothing_is_delivered_afterwards(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)
        it = bench.input(destination, concurrency=2)
        for number in range(100):
            bench.send(destination, b"%d" % number, partition=number % 2)
        bench.eventually(lambda: it.seen, "nothing was delivered")
        it.unbind()
        seen = len(it.seen)
        bench.send(destination, b"late", partition=0)
        bench.time_passes()
        assert len(it.seen) == seen
        assert it.active == 0

    def test_it_waits_for_the_running_delivery_and_reports_what_was_done(self, bench: Bench) -> None:
        destination = bench.destination()
        gate = bench.gate()
        group = bench.group()
        it = bench.input(destination, done_after(gate), group=group)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.active, "nothing is delivered")
        unbinding = threading.Thread(target=it.unbind)
        unbinding.start()
        bench.time_passes(1)
        assert unbinding.is_alive()
        gate.set()
        unbinding.join(bench.harness.within_s)
        assert not unbinding.is_alive()
        assert it.payloads() == [b"1"]
        bench.committed(group, destination, {0: 1})

    def test_it_returns_when_the_time_is_over_and_the_undone_comes_again(self, bench: Bench) -> None:
        destination = bench.destination()
        gate = bench.gate()
        group = bench.group()
        it = bench.input(destination, lambda batch: (gate.wait(), Outcome(0, RetryAfter(1)))[1], group=group)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.active, "nothing is delivered")
        began_s = time.monotonic()
        it.unbind(timeout_ms=300)
        assert time.monotonic() - began_s < bench.harness.within_s
        gate.set()
        bench.eventually(lambda: it.deliveries, "the delivery does not end")
        again = bench.input(destination, group=group)
        bench.handled(again, [b"1"])
        assert len(it.seen) == 1

    def test_a_waiting_retry_does_not_hold_it_up(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination, lambda batch: Outcome(0, RetryAfter(3_600_000)))
        bench.send(destination, b"1")
        bench.eventually(lambda: it.deliveries, "nothing was delivered")
        began_s = time.monotonic()
        it.unbind(timeout_ms=600_000)
        assert time.monotonic() - began_s < bench.harness.within_s

    def test_everything_may_be_called_again(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.ready(it, destination)
        it.unbind()
        it.unbind()
        it.binding.pause()
        it.binding.resume()
        assert list(it.binding.partitions()) == []
        assert it.binding.last_error() is None

    def test_a_binding_unbinds_right_after_it_was_bound(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        bench.input(destination, group=group).unbind()
        bench.send(destination, b"1")
        bench.handled(bench.input(destination, group=group), [b"1"])

    def test_closing_the_binder_unbinds_everything(self, bench: Bench) -> None:
        destination = bench.destination()
        binder = bench.binder()
        it = bench.input(destination, binder=binder)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        binder.close(5000)
        binder.close(5000)
        assert list(it.binding.partitions()) == []
        bench.send(destination, b"2")
        bench.time_passes()
        assert [m.payload for m in it.seen] == [b"1"]


class TestConcurrency:
    def test_a_slow_partition_does_not_hold_another(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)
        gate = bench.gate()

        def decide(batch: Batch) -> Outcome:
            if batch.partition == 0:
                gate.wait()
            return Outcome(len(batch))

        it = bench.input(destination, decide, concurrency=2)
        bench.ready(it, destination, range(2))
        bench.send(destination, b"slow", partition=0)
        bench.eventually(lambda: it.active, "nothing is delivered")
        for number in range(3):
            bench.send(destination, b"%d" % number, partition=1)
        bench.handled(it, [b"0", b"1", b"2"])
        gate.set()
        bench.handled(it, [b"0", b"1", b"2", b"slow"])

    def test_one_delivery_at_a_time_per_partition(self, bench: Bench) -> None:
        destination = bench.destination()
        gate = bench.gate()
        it = bench.input(destination, done_after(gate), concurrency=4)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.active, "nothing is delivered")
        bench.send(destination, b"2", b"3")
        bench.time_passes()
        assert it.active == 1
        gate.set()
        bench.handled(it, [b"1", b"2", b"3"])
        assert it.most_active == 1

    def test_no_more_than_concurrency_deliveries_run(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        gate = bench.gate()
        it = bench.input(destination, done_after(gate), concurrency=2)
        bench.ready(it, destination, range(4))
        for partition in range(4):
            bench.send(destination, b"x", partition=partition)
        bench.eventually(lambda: it.active == 2, lambda: f"{it.active} deliveries run")
        bench.time_passes()
        gate.set()
        bench.handled(it, [b"x"] * 4)
        assert it.most_active == 2
