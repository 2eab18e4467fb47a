"""What arrives is what was sent, in order, once."""

from __future__ import annotations

import time

from streambind.binding.outcome import Outcome
from streambind.message import Message
from streambind.testing.binder_suite.bench import Bench


class TestDelivery:
    def test_every_message_arrives_once_and_in_order(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        payloads = [b"%d" % n for n in range(1000)]
        for at in range(0, 1000, 100):
            bench.send(destination, *payloads[at : at + 100])
        bench.handled(it, payloads)
        bench.time_passes()
        assert it.payloads() == payloads

    def test_messages_of_a_key_keep_their_order(self, bench: Bench) -> None:
        destination = bench.destination(partitions=4)
        it = bench.input(destination, concurrency=2)
        keys = [b"key-%d" % n for n in range(21)]
        for number in range(20):
            bench.send(destination, *(Message(b"%d" % number, key) for key in keys))
        bench.eventually(lambda: len(it.done) >= 420, lambda: f"{len(it.done)} of 420 messages done")
        for key in keys:
            assert [m.payload for m in it.done if m.key == key] == [b"%d" % n for n in range(20)]
            assert len({m.partition for m in it.done if m.key == key}) == 1

    def test_messages_sent_before_and_after_binding_arrive(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"before")
        it = bench.input(destination)
        bench.handled(it, [b"before"])
        bench.send(destination, b"after")
        bench.handled(it, [b"before", b"after"])

    def test_one_binding_reads_several_destinations(self, bench: Bench) -> None:
        one, other = bench.destination(), bench.destination()
        it = bench.input([one, other])
        bench.send(one, b"1")
        bench.send(other, b"2")
        bench.eventually(lambda: len(it.done) == 2, lambda: f"done: {it.done}")
        assert {(m.destination, m.payload) for m in it.done} == {(one, b"1"), (other, b"2")}

    def test_headers_travel_raw(self, bench: Bench) -> None:
        headers = [
            ("b", b"2"),
            ("a", b"1"),
            ("repeated", b"first"),
            ("repeated", None),
            ("repeated", b"last"),
            ("null", None),
            ("empty", b""),
            ("bytes", bytes(range(256))),
            ("이름", "최종".encode()),
        ]
        sent = _round_trip(bench, Message(b"x", raw_headers=headers))
        assert list(sent.raw_headers) == headers

    def test_a_message_without_headers_has_none(self, bench: Bench) -> None:
        assert list(_round_trip(bench, Message(b"x")).raw_headers) == []

    def test_a_tombstone_and_an_empty_payload_are_kept_apart(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, Message(None, b"k"), Message(b"", b"k"), Message(None, b"k"), Message(b"x", b"k"))
        bench.handled(it, [None, b"", None, b"x"])

    def test_a_missing_key_and_an_empty_key_are_kept_apart(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, Message(b"1"), Message(b"2", b""), Message(b"3", b"\x00\xff"), Message(None))
        bench.handled(it, [b"1", b"2", b"3", None])
        assert [m.key for m in it.done] == [None, b"", b"\x00\xff", None]

    def test_a_payload_of_any_bytes_arrives_unchanged(self, bench: Bench) -> None:
        payload = bytes(range(256)) * 400
        assert _round_trip(bench, Message(payload)).payload == payload

    def test_timestamps_are_milliseconds(self, bench: Bench) -> None:
        before_ms = time.time() * 1000
        timestamp_ms = _round_trip(bench, Message(b"x")).timestamp_ms
        assert timestamp_ms is not None
        assert before_ms - 1000 <= timestamp_ms <= time.time() * 1000 + 1000

    def test_batches_are_bounded(self, bench: Bench) -> None:
        limit = bench.harness.max_batch
        destination = bench.destination()
        amount = 3 * (limit or 500) + 1
        payloads = [b"%d" % n for n in range(amount)]
        for at in range(0, amount, 500):
            bench.send(destination, *payloads[at : at + 500])
        it = bench.input(destination)
        bench.handled(it, payloads)
        assert limit is None or max(len(d.messages) for d in it.deliveries) <= limit


class TestPositionsOfBatches:
    """That each position is the boundary of the batch before is asserted for every input at its end."""

    def test_they_are_contiguous_from_the_first_offset_to_the_end(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        payloads = [b"%d" % n for n in range(50)]
        for payload in payloads:
            bench.send(destination, payload)
        bench.handled(it, payloads)
        assert it.deliveries[0].position == 0
        assert [m.offset for m in it.done] == list(range(50))

    def test_a_hole_may_lie_between_a_position_and_the_first_message(self, bench: Bench) -> None:
        bench.needs("holes")
        destination = bench.destination()
        group = bench.group()
        it = bench.input(destination, group=group)
        for number in range(1, 4):
            [sent] = bench.send(destination, b"x")
            bench.handled(it, [b"x"] * number)
            bench.harness.leave_hole(destination, 0)
        [last] = bench.send(destination, b"x")
        bench.handled(it, [b"x"] * 4)
        assert it.deliveries[-1].position <= sent.offset + 1 < last.offset == it.done[-1].offset
        bench.committed(group, destination, {0: last.offset + 1})

    def test_a_hole_may_lie_between_what_is_done_and_the_rest(self, bench: Bench) -> None:
        bench.needs("holes")
        destination = bench.destination()
        payloads = [b"%d" % n for n in range(4)]
        for payload in payloads:
            bench.send(destination, payload)
            bench.harness.leave_hole(destination, 0)
        bench.handled(bench.input(destination, lambda batch: Outcome(1)), payloads)

    def test_a_binding_that_is_bound_again_goes_on_where_it_was(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        bench.send(destination, b"1", b"2", b"3")
        first = bench.input(destination, group=group)
        bench.handled(first, [b"1", b"2", b"3"])
        first.unbind()
        bench.send(destination, b"4")
        second = bench.input(destination, group=group)
        bench.handled(second, [b"4"])
        assert second.deliveries[0].position == 3


def _round_trip(bench: Bench, message: Message) -> Message:
    destination = bench.destination()
    it = bench.input(destination)
    bench.send(destination, message)
    bench.handled(it, [message.payload])
    return it.done[0]
