"""What a binding says of the messages that it has still to do."""

from __future__ import annotations

from streambind.testing.binder_suite.bench import TIMEOUT_MS, Bench
from streambind.testing.binder_suite.input import Input, done_after


def _lag(it: Input) -> object:
    return [state.lag for state in it.binding.partitions()]


class TestLag:
    def test_at_the_end_nothing_is_left(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.ready(it, destination)
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} of an empty destination")
        bench.send(destination, b"1", b"2")
        bench.handled(it, [b"1", b"2"])
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} when all is done")

    def test_what_is_not_done_is_left(self, bench: Bench) -> None:
        destination = bench.destination()
        gate = bench.gate()
        it = bench.input(destination, done_after(gate))
        bench.send(destination, b"1", b"2", b"3")
        bench.eventually(lambda: _lag(it) == [3], lambda: f"lag {_lag(it)} while a delivery runs")
        gate.set()
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} when all is done")

    def test_an_offset_without_a_message_is_nothing_to_do(self, bench: Bench) -> None:
        bench.needs("holes")
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        bench.harness.leave_hole(destination, 0)
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} behind a hole at the end")

    def test_it_is_unknown_while_the_broker_is_away_and_known_again(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} when all is done")
        bench.break_broker()
        bench.eventually(lambda: _lag(it) == [None], lambda: f"lag {_lag(it)} without a broker")
        bench.heal_broker()
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} when the broker is back")

    def test_it_is_known_after_a_pause(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        it.binding.pause()
        bench.send(destination, b"2")
        it.binding.resume()
        bench.handled(it, [b"1", b"2"])
        bench.eventually(lambda: _lag(it) == [0], lambda: f"lag {_lag(it)} after a pause")


class TestReadOfEach:
    def test_no_more_of_a_partition_than_asked_for(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)
        for partition in range(2):
            bench.send(destination, b"0", b"1", b"2", partition=partition)
        messages = bench.main.read(destination, {0: 0, 1: 1}, TIMEOUT_MS, each=1)
        assert sorted((m.partition, m.offset) for m in messages) == [(0, 0), (1, 1)]
