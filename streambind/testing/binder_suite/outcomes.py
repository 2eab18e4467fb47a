"""The core decides, the binder carries out: Continue, RetryAfter, Seek, Stop, and exceptions."""

from __future__ import annotations

from streambind.binding.outcome import Outcome, RetryAfter, Seek, Stop
from streambind.message import Batch
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.binder_suite.input import Decide, Input, all_done


class TestUndone:
    def test_the_rest_of_a_batch_comes_again_at_once_and_the_done_part_does_not(self, bench: Bench) -> None:
        destination = bench.destination()
        payloads = [b"%d" % n for n in range(20)]
        bench.send(destination, *payloads)
        it = bench.input(destination, lambda batch: Outcome(1))
        bench.handled(it, payloads)

    def test_nothing_done_is_delivered_again_at_once(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination, _first(2, Outcome(0)))
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        assert [m.payload for m in it.seen] == [b"1"] * 3


class TestRetryAfter:
    def test_the_rest_comes_again_first_and_nothing_overtakes_it(self, bench: Bench) -> None:
        destination = bench.destination()
        payloads = [b"%d" % n for n in range(30)]
        refused: dict[bytes | None, int] = {}

        def decide(batch: Batch) -> Outcome:
            for i in range(len(batch)):
                payload = batch.payload(i)
                if int(payload or 0) % 7 == 3 and refused.setdefault(payload, 0) < 2:
                    refused[payload] += 1
                    return Outcome(i, RetryAfter(20, "not yet"))
            return Outcome(len(batch))

        bench.send(destination, *payloads[:15])
        it = bench.input(destination, decide)
        for payload in payloads[15:]:
            bench.send(destination, payload)
        bench.handled(it, payloads)
        assert refused == {b"3": 2, b"10": 2, b"17": 2, b"24": 2}

    def test_it_comes_not_before_the_time_is_over(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination, _first(1, Outcome(0, RetryAfter(300))))
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        refused, handled = it.deliveries
        assert handled.began_s - refused.ended_s >= 0.29

    def test_other_partitions_go_on_meanwhile(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)

        def decide(batch: Batch) -> Outcome:
            return Outcome(0, RetryAfter(60_000, "broken")) if batch.partition == 0 else Outcome(len(batch))

        it = bench.input(destination, decide)
        bench.send(destination, b"stuck", partition=0)
        bench.eventually(lambda: it.deliveries, "nothing was delivered")
        bench.send(destination, b"1", partition=1)
        bench.handled(it, [b"1"])
        bench.send(destination, b"2", partition=1)
        bench.handled(it, [b"1", b"2"])

    def test_messages_that_come_meanwhile_wait_for_their_turn(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination, _first(3, Outcome(0, RetryAfter(100))))
        bench.send(destination, b"1")
        bench.eventually(lambda: it.seen, "nothing was delivered")
        bench.send(destination, b"2", b"3")
        bench.handled(it, [b"1", b"2", b"3"])

    def test_people_can_see_that_a_partition_backs_off_and_why(self, bench: Bench) -> None:
        destination = bench.destination()
        broken = bench.gate()
        it = bench.input(
            destination,
            lambda batch: Outcome(len(batch)) if broken.is_set() else Outcome(0, RetryAfter(200, "out of order")),
        )
        bench.send(destination, b"1")
        bench.eventually(
            lambda: (state := it.state()) and state.retrying and "out of order" in state.retrying,
            lambda: f"the state is {it.state()}",
        )
        broken.set()
        bench.handled(it, [b"1"])
        bench.eventually(
            lambda: (state := it.state()) and state.retrying is None and state.position == 1,
            lambda: f"the state is {it.state()}",
        )


class TestSeek:
    def test_it_goes_on_further_on(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, *(b"%d" % n for n in range(10)))
        it = bench.input(destination, _first(1, Outcome(0, Seek(7))))
        bench.handled(it, [b"7", b"8", b"9"])
        assert it.deliveries[1].position == 7

    def test_it_goes_back(self, bench: Bench) -> None:
        destination = bench.destination()
        sought: list[int] = []

        def decide(batch: Batch) -> Outcome:
            if not sought and batch.next_offset == 3:
                sought.append(1)
                return Outcome(len(batch), Seek(1))
            return Outcome(len(batch))

        it = bench.input(destination, decide)
        bench.send(destination, b"0", b"1", b"2")
        bench.handled(it, [b"0", b"1", b"2", b"1", b"2"])

    def test_what_is_in_memory_is_forgotten(self, bench: Bench) -> None:
        destination = bench.destination()
        gate = bench.gate()
        turn = _first(1, Outcome(0, Seek(4)))

        def decide(batch: Batch) -> Outcome:
            gate.wait()
            return turn(batch)

        it = bench.input(destination, decide)
        bench.send(destination, b"0")
        bench.eventually(lambda: it.active, "nothing is delivered")
        bench.send(destination, b"1", b"2", b"3", b"4")
        gate.set()
        bench.handled(it, [b"4"])


class TestStop:
    def test_it_is_visible_and_nothing_later_comes(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()

        def decide(batch: Batch) -> Outcome:
            for i in range(len(batch)):
                if batch.payload(i) == b"bad":
                    return Outcome(i, Stop(ValueError("cannot be read")))
            return Outcome(len(batch))

        it = bench.input(destination, decide, group=group)
        bench.send(destination, b"good", b"bad", b"later")
        _assert_stalls(bench, it, "cannot be read")
        bench.send(destination, b"later still")
        bench.time_passes()
        assert it.payloads() == [b"good"]
        assert b"later still" not in [m.payload for m in it.seen]
        bench.committed(group, destination, {0: 1})

    def test_other_partitions_go_on(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)
        stop = Outcome(0, Stop(ValueError("bad")))
        it = bench.input(destination, lambda batch: stop if batch.partition == 0 else Outcome(len(batch)))
        bench.send(destination, b"bad", partition=0)
        _assert_stalls(bench, it, "bad")
        bench.send(destination, b"good", partition=1)
        bench.handled(it, [b"good"])
        state = it.state(1)
        assert state is not None
        assert state.stalled is None

    def test_an_exception_stops_the_partition(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()

        def decide(batch: Batch) -> Outcome:
            if batch.position == 0:
                return Outcome(len(batch))
            raise RuntimeError("a defect")

        it = bench.input(destination, decide, group=group)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        bench.send(destination, b"2")
        _assert_stalls(bench, it, "a defect")
        bench.send(destination, b"3")
        bench.time_passes()
        assert [m.payload for m in it.seen] == [b"1", b"2"]
        bench.committed(group, destination, {0: 1})

    def test_an_outcome_that_does_not_fit_the_batch_stops_the_partition(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination, lambda batch: Outcome(len(batch) + 1))
        bench.send(destination, b"1")
        bench.eventually(lambda: (state := it.state()) and state.stalled, lambda: f"the state is {it.state()}")

    def test_binding_again_starts_the_partition_at_what_was_not_done(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        stopped = bench.input(destination, lambda batch: Outcome(1, Stop(ValueError("bad"))), group=group)
        bench.send(destination, b"1", b"2", b"3")
        _assert_stalls(bench, stopped, "bad")
        done = len(stopped.done)
        stopped.unbind()
        again = bench.input(destination, group=group)
        bench.handled(again, [b"1", b"2", b"3"][done:])


def _first(times: int, outcome: Outcome) -> Decide:
    """Answer `outcome` that many times, then that all is done."""
    left = [outcome] * times
    return lambda batch: left.pop() if left else all_done(batch)


def _assert_stalls(bench: Bench, it: Input, reason: str) -> None:
    bench.eventually(
        lambda: (state := it.state(0)) and state.stalled and reason in state.stalled,
        lambda: f"the state is {it.state(0)}",
    )
    assert reason in (it.binding.last_error() or "")
