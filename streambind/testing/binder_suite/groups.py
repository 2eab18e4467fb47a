"""Groups: each gets everything, members share, what is done stays done."""

from __future__ import annotations

import threading

from streambind.binding.binder import Lane
from streambind.binding.outcome import Outcome, RetryAfter
from streambind.message import Batch, Message
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.binder_suite.input import Decide, Input


class TestGroups:
    def test_every_group_gets_every_message(self, bench: Bench) -> None:
        destination = bench.destination()
        inputs = [bench.input(destination) for _ in range(3)]
        bench.send(destination, b"1", b"2")
        for it in inputs:
            bench.handled(it, [b"1", b"2"])

    def test_members_share_the_messages(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        group = bench.group()
        one = bench.input(destination, group=group, moves=True)
        bench.ready(one, destination, range(4))
        two = bench.input(destination, group=group, moves=True, binder=bench.binder())
        _shared(bench, destination, [one, two])
        for partition in range(4):
            bench.send(destination, b"a", b"b", partition=partition)
        bench.eventually(lambda: len(one.done) + len(two.done) >= 8, lambda: f"done: {one.done} and {two.done}")
        assert sorted(m.partition or 0 for m in one.done + two.done) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert len(one.done) == len(two.done) == 4

    def test_a_member_that_leaves_is_replaced(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        group = bench.group()
        one = bench.input(destination, group=group, moves=True)
        two = bench.input(destination, group=group, moves=True, binder=bench.binder())
        _shared(bench, destination, [one, two])
        two.unbind()
        bench.ready(one, destination, range(4))
        for partition in range(4):
            bench.send(destination, b"x", partition=partition)
        bench.handled(one, [b"x"] * 4)

    def test_what_is_done_does_not_come_again_when_a_partition_moves(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        group = bench.group()
        one = bench.input(destination, group=group, moves=True)
        for partition in range(4):
            bench.send(destination, *(b"%d" % n for n in range(25)), partition=partition)
        bench.eventually(lambda: len(one.done) == 100, lambda: f"{len(one.done)} of 100 messages done")
        two = bench.input(destination, group=group, moves=True, binder=bench.binder())
        _shared(bench, destination, [one, two])
        one.unbind()
        bench.ready(two, destination, range(4))
        for partition in range(4):
            bench.send(destination, b"new", partition=partition)
        bench.eventually(lambda: len(one.done) + len(two.done) >= 104, lambda: f"done: {two.done}")
        assert two.payloads() == [b"new"] * 4

    def test_what_is_not_done_comes_to_the_new_owner_when_a_partition_moves(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)
        group = bench.group()
        for partition in range(2):
            bench.send(destination, b"0", b"1", b"2", b"3", partition=partition)
        one = bench.input(destination, _until(b"2"), group=group, moves=True)
        bench.eventually(lambda: len(one.done) == 4, lambda: f"done: {one.done}")
        two = bench.input(destination, group=group, moves=True, binder=bench.binder())
        bench.eventually(lambda: len(two.ready()) == 1, "the new member gets no partition")
        one.unbind()
        bench.eventually(lambda: len(two.done) >= 4, lambda: f"done: {two.done}")
        assert one.payloads().count(b"0") == one.payloads().count(b"1") == 2
        assert sorted((m.partition, m.payload) for m in two.done) == [
            (partition, payload) for partition in range(2) for payload in (b"2", b"3")
        ]

    def test_a_partition_moves_when_its_running_delivery_has_ended(self, bench: Bench) -> None:
        destination = bench.destination(partitions=2)
        group = bench.group()
        gate = bench.gate()

        def decide(batch: Batch) -> Outcome:
            gate.wait()
            return Outcome(len(batch))

        one = bench.input(destination, decide, group=group, concurrency=2, moves=True)
        bench.ready(one, destination, range(2))
        bench.send(destination, b"0", partition=0)
        bench.send(destination, b"1", partition=1)
        bench.eventually(lambda: one.active == 2, lambda: f"{one.active} of 2 deliveries run")
        two = bench.input(destination, group=group, moves=True, binder=bench.binder())
        bench.time_passes()
        assert two.seen == []
        gate.set()
        bench.eventually(lambda: len(one.ready()) == len(two.ready()) == 1, "the members do not share")
        for partition in range(2):
            bench.send(destination, b"new", partition=partition)
        bench.eventually(lambda: len(one.done) + len(two.done) >= 4, lambda: f"done: {one.done} and {two.done}")
        assert set(one.payloads()[:2]) == {b"0", b"1"}
        assert one.payloads()[2:] == two.payloads() == [b"new"]

    def test_members_that_come_and_go_lose_nothing(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        group = bench.group()
        binder = bench.binder()
        inputs = [bench.input(destination, group=group, moves=True)]
        stream = _Stream(bench, destination)
        bench.eventually(lambda: inputs[0].done, "nothing was delivered")
        for _ in range(2):
            guest = bench.input(destination, group=group, moves=True, binder=binder)
            inputs.append(guest)
            bench.eventually(lambda g=guest: g.done, lambda: f"the new member gets nothing: {inputs[-1].ready()}")  # type: ignore[misc]
            guest.unbind()
        sent = stream.end()
        bench.eventually(
            lambda: {m.payload for it in inputs for m in it.done} >= set(sent),
            lambda: f"missing: {sorted(set(sent) - {m.payload for it in inputs for m in it.done})[:10]}",
        )
        for partition in range(4):
            _assert_first_times_in_order(inputs, Lane(destination, partition))


class TestRestart:
    def test_what_was_not_done_comes_again_and_what_was_done_does_not(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        bench.send(destination, *(b"%d" % n for n in range(10)))

        one = bench.input(destination, _until(b"4"), group=group)
        bench.handled(one, [b"0", b"1", b"2", b"3"])
        one.unbind()
        bench.committed(group, destination, {0: 4})
        two = bench.input(destination, group=group)
        bench.handled(two, [b"4", b"5", b"6", b"7", b"8", b"9"])

    def test_another_binder_goes_on_where_the_group_is(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        bench.send(destination, b"1", b"2")
        one = bench.input(destination, group=group, binder=(binder := bench.binder()))
        bench.handled(one, [b"1", b"2"])
        binder.close(5000)
        bench.send(destination, b"3")
        bench.handled(bench.input(destination, group=group), [b"3"])


class TestStartOffset:
    def test_a_new_group_starts_at_the_beginning(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"1")
        bench.handled(bench.input(destination), [b"1"])

    def test_earliest(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"1")
        bench.handled(bench.input(destination, startOffset="earliest"), [b"1"])

    def test_latest(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"old")
        it = bench.input(destination, startOffset="latest")
        bench.ready(it, destination)
        bench.send(destination, b"new")
        bench.handled(it, [b"new"])

    def test_latest_is_decided_once_and_remembered(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        bench.send(destination, b"old")
        it = bench.input(destination, group=group, startOffset="latest")
        bench.ready(it, destination)
        it.unbind()
        bench.send(destination, b"while it was away")
        again = bench.input(destination, group=group, startOffset="latest")
        bench.handled(again, [b"while it was away"])

    def test_a_committed_offset_counts_more(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        one = bench.input(destination, group=group)
        bench.send(destination, b"1")
        bench.handled(one, [b"1"])
        one.unbind()
        bench.send(destination, b"2")
        bench.handled(bench.input(destination, group=group, startOffset="latest"), [b"2"])


class TestAnonymous:
    def test_it_gets_only_what_is_new(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"old")
        it = bench.input(destination, anonymous=True)
        bench.ready(it, destination)
        bench.send(destination, b"new")
        bench.handled(it, [b"new"])

    def test_each_gets_everything(self, bench: Bench) -> None:
        destination = bench.destination()
        inputs = [bench.input(destination, anonymous=True) for _ in range(2)]
        for it in inputs:
            bench.ready(it, destination)
        bench.send(destination, b"1")
        for it in inputs:
            bench.handled(it, [b"1"])


class _Stream:
    """Sends without pause, in another thread, numbered messages to four partitions."""

    def __init__(self, bench: Bench, destination: str) -> None:
        self._sent: list[bytes] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(bench, destination), daemon=True)
        self._thread.start()

    def end(self) -> list[bytes]:
        self._end.set()
        self._thread.join()
        return self._sent

    def _run(self, bench: Bench, destination: str) -> None:
        number = 0
        while not self._end.wait(0.002):
            payloads = [b"%06d" % (number + n) for n in range(4)]
            bench.send(destination, *(Message(p, partition=n) for n, p in enumerate(payloads)))
            self._sent += payloads
            number += 4


def _until(payload: bytes) -> Decide:
    def decide(batch: Batch) -> Outcome:
        for i in range(len(batch)):
            if batch.payload(i) == payload:
                return Outcome(i, RetryAfter(10, "not today"))
        return Outcome(len(batch))

    return decide


def _shared(bench: Bench, destination: str, members: list[Input]) -> None:
    """Wait until the members share all four partitions, two each."""
    everything = {Lane(destination, partition) for partition in range(4)}
    bench.eventually(
        lambda: (
            [len(it.ready()) for it in members] == [2, 2]
            and set.union(*(it.ready() for it in members)) == everything
        ),
        lambda: f"the members have {[sorted(lane.partition for lane in it.ready()) for it in members]}",
    )


def _assert_first_times_in_order(inputs: list[Input], lane: Lane) -> None:
    """Whatever came twice: no message of the lane may be done for the first time before an earlier one."""
    deliveries = sorted((d for it in inputs for d in it.deliveries if d.lane == lane), key=lambda d: d.ended_s)
    following = 0
    for delivery in deliveries:
        for message in delivery.messages:
            offset = message.offset if message.offset is not None else -1
            assert offset <= following, f"{message} was done when {following} was to come"
            following = max(following, offset + 1)
