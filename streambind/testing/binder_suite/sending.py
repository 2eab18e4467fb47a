"""Sending: one result per message, and none that is not true."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from streambind.binding.key_order import HELD_BACK
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import LifecycleError
from streambind.message import Message
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.binder_suite.in_thread import InThread

JAVA_PARTITIONS_OF_4 = {
    "1": 3, "2": 0, "3": 3, "10": 2, "42": 0, "100": 1, "1000": 2, "123456789": 2, "categoryChanged": 3,
    "최종": 2, "polygenelubricants": 2, "a": 0,
}  # fmt: skip
"""Where a Java producer puts these keys: seen with Spring Cloud Stream's producers."""


class TestResults:
    def test_each_says_where_its_message_is(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        it = bench.input(destination)
        messages = [Message(b"%d" % n, b"%d" % (n % 7)) for n in range(100)]
        results = bench.send(destination, *messages)
        bench.eventually(lambda: len(it.done) == 100, lambda: f"{len(it.done)} of 100 messages done")
        where = {(m.partition, m.offset): m.payload for m in it.done}
        assert [where[result.partition, result.offset] for result in results] == [m.payload for m in messages]

    def test_nothing_sent_has_no_results(self, bench: Bench) -> None:
        assert bench.output(bench.destination()).send([]) == []

    def test_senders_do_not_get_into_each_others_way(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination)
        batches = [[Message(b"%d-%d" % (sender, n)) for n in range(50)] for sender in range(8)]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(output.send, batches))
        offsets = [[r.offset for r in batch if isinstance(r, Sent)] for batch in results]
        assert sorted(o for batch in offsets for o in batch) == list(range(400))
        assert all(batch == sorted(batch) for batch in offsets)

    def test_a_partition_may_be_picked(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        results = bench.send(destination, *(Message(b"x", b"same key", partition=n) for n in range(4)))
        assert [result.partition for result in results] == [0, 1, 2, 3]

    def test_a_partition_that_does_not_exist_fails_for_good(self, bench: Bench) -> None:
        bench.needs("partitions")
        destination = bench.destination()
        first, wrong, last = bench.output(destination).send(
            [Message(b"1"), Message(b"x", partition=99), Message(b"2")]
        )
        assert isinstance(wrong, Failed)
        assert wrong.permanent
        assert (first, last) == (Sent(0, 0), Sent(0, 1))

    def test_a_key_has_the_partition_that_a_java_producer_picks(self, bench: Bench) -> None:
        bench.needs("java-partitions")
        destination = bench.destination(partitions=4)
        results = bench.send(destination, *(Message(b"x", key.encode()) for key in JAVA_PARTITIONS_OF_4))
        assert [result.partition for result in results] == list(JAVA_PARTITIONS_OF_4.values())

    def test_a_message_that_is_too_large_fails_alone_and_for_good(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination)
        limit = output.max_payload_bytes()
        if limit is None:
            pytest.skip("the destination accepts payloads of any size")
        small, large, last = output.send([Message(b"1"), Message(bytes(limit + 1)), Message(b"2")])
        assert isinstance(large, Failed)
        assert large.permanent
        assert isinstance(small, Sent)
        assert isinstance(last, Sent)

    def test_what_is_refused_holds_back_what_follows_in_its_key(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        output = bench.output(destination)
        for wrong in _unsendable(bench, output.max_payload_bytes(), b"k"):
            end = len(it.done)
            batch = [
                Message(b"1", b"k"),
                wrong,
                Message(b"3", b"k"),
                Message(b"o", b"other"),
                Message(b"n"),
                wrong,
            ]
            first, failed, held, other, keyless, last = output.send(batch)
            assert isinstance(failed, Failed)
            assert failed.permanent
            assert (first, other, keyless) == (Sent(0, end), Sent(0, end + 1), Sent(0, end + 2))
            assert held == last == HELD_BACK
            assert output.send([Message(b"3", b"k")]) == [Sent(0, end + 3)]
            bench.handled(it, [*it.payloads()[:end], b"1", b"o", b"n", b"3"])

    def test_a_payload_of_the_largest_size_passes(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination)
        limit = output.max_payload_bytes()
        if limit is None:
            pytest.skip("the destination accepts payloads of any size")
        assert output.send([Message(bytes(limit))]) == [Sent(0, 0)]


def _unsendable(bench: Bench, limit: int | None, key: bytes) -> list[Message]:
    """Messages of the key that no binder gives to its broker."""
    messages = [Message(b"2", key, raw_headers=[("a\0b", b"x")])]
    if bench.main.capabilities.partitions:
        messages.append(Message(b"2", key, partition=99))
    if limit is not None:
        messages.append(Message(bytes(limit + 1), key))
    return messages


class TestOutage:
    def test_nothing_succeeds_and_the_time_is_kept(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination, timeout_ms=bench.harness.send_timeout_ms)
        assert output.send([Message(b"1")]) == [Sent(0, 0)]
        bench.break_broker()
        with InThread(lambda: output.send([Message(b"2"), Message(b"3")])) as sending:
            results = sending.result(bench)
        assert len(results) == 2
        for result in results:
            assert isinstance(result, Unknown) or (isinstance(result, Failed) and not result.permanent)

    def test_a_sender_without_limit_waits_for_the_broker(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination, timeout_ms=None)
        bench.break_broker()
        with InThread(lambda: output.send([Message(b"1"), Message(b"2")])) as sending:
            bench.heal_broker()
            assert [type(result) for result in sending.result(bench)] == [Sent, Sent]
        bench.handled(bench.input(destination), [b"1", b"2"])

    def test_purge_makes_running_sends_return(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination, timeout_ms=None)
        bench.break_broker()
        with InThread(lambda: output.send([Message(b"1")])) as sending:
            sending.rests(bench)
            output.purge()
            assert [type(result) for result in sending.result(bench)] == [Unknown]
        output.purge()
        with pytest.raises(LifecycleError):
            output.send([Message(b"2")])

    def test_unbind_waits_no_longer_than_it_may(self, bench: Bench) -> None:
        destination = bench.destination()
        output = bench.output(destination, timeout_ms=None)
        bench.break_broker()
        with InThread(lambda: output.send([Message(b"1")])) as sending:
            sending.rests(bench)
            began_s = time.monotonic()
            output.unbind(300)
            assert time.monotonic() - began_s < 0.3 + bench.harness.within_s
            assert [type(result) for result in sending.result(bench)] == [Unknown]


class TestUnbinding:
    def test_nothing_can_be_sent_afterwards(self, bench: Bench) -> None:
        output = bench.output(bench.destination())
        output.send([Message(b"1")])
        output.unbind(5000)
        output.unbind(5000)
        with pytest.raises(LifecycleError):
            output.send([Message(b"2")])

    def test_nothing_can_be_sent_after_a_purge(self, bench: Bench) -> None:
        output = bench.output(bench.destination())
        output.purge()
        output.purge()
        with pytest.raises(LifecycleError):
            output.send([Message(b"1")])
        output.unbind(5000)

    def test_other_outputs_of_the_destination_go_on(self, bench: Bench) -> None:
        destination = bench.destination()
        one, two = bench.output(destination), bench.output(destination)
        one.purge()
        one.unbind(5000)
        assert two.send([Message(b"1")]) == [Sent(0, 0)]

    def test_closing_the_binder_unbinds_outputs(self, bench: Bench) -> None:
        destination = bench.destination()
        binder = bench.binder()
        output = bench.output(destination, binder=binder)
        output.send([Message(b"1")])
        binder.close(5000)
        with pytest.raises(LifecycleError):
            output.send([Message(b"2")])
