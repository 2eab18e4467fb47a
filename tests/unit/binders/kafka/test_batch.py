"""A batch over the client's messages."""

from __future__ import annotations

from confluent_kafka import Message

from streambind.binders.kafka.batch import KafkaBatch
from streambind.message import boundary
from tests.unit.binders.kafka.messages import message


def test_fields_are_the_clients() -> None:
    headers: list[tuple[str, str | bytes | None]] = [("a", b"1"), ("a", None)]
    first = Message(
        topic="t", partition=3, offset=7, key=b"k", value=b"v", headers=headers, timestamp=(1, 1_660_000_000_000)
    )
    batch = KafkaBatch("t", 3, 5, [first, message(9)])
    assert (batch.destination, batch.partition, batch.position, batch.next_offset) == ("t", 3, 5, 10)
    assert len(batch) == 2
    assert (batch.offset(0), batch.offset(1)) == (7, 9)
    assert (batch.key(0), batch.key(1)) == (b"k", None)
    assert batch.raw_headers(0) == [("a", b"1"), ("a", None)]
    assert list(batch.raw_headers(1)) == []
    assert batch.timestamp_ms(0) == 1_660_000_000_000
    whole = batch.message(0)
    assert (whole.payload, whole.key, whole.destination, whole.partition, whole.offset, whole.timestamp_ms) == (
        *(b"v", b"k", "t", 3, 7),
        1_660_000_000_000,
    )
    assert whole.raw_headers == [("a", b"1"), ("a", None)]


def test_tombstones_and_empty_payloads_survive_and_differ() -> None:
    batch = KafkaBatch("t", 0, 0, [message(0, None), message(1, b""), message(2, b"x")])
    assert batch.payloads() == [None, b"", b"x"]
    assert [batch.payload(i) for i in range(3)] == [None, b"", b"x"]


def test_a_boundary_skips_the_holes_behind_what_is_done() -> None:
    batch = KafkaBatch("t", 0, 2, [message(3), message(7)])
    assert [boundary(batch, done) for done in range(3)] == [2, 7, 8]
