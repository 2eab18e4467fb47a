"""A batch over the client's messages."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Message

from streambind.binders.kafka.batch import KafkaBatch, message_of
from streambind.errors import PermanentError
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


class _Unreadable(Message):
    """Asked for its headers, the client raises the first time and crashes the second time."""

    _asked = False
    _instead: Any = None

    def headers(self) -> Any:
        if self._instead is not None:
            return self._instead
        assert not self._asked, "the process is gone"
        self._asked = True
        raise SystemError("returned a result with an exception set")

    def set_headers(self, value: Any) -> None:
        self._instead = value


def test_headers_that_the_client_cannot_read_are_asked_for_once() -> None:
    unreadable = _Unreadable(topic="t", partition=0, offset=1, key=b"k", value=b"v", timestamp=(1, 5))
    batch = KafkaBatch("t", 0, 0, [message(0), unreadable])
    again = KafkaBatch("t", 0, 1, batch.rest(1))
    for _ in range(2):
        with pytest.raises(PermanentError, match="not UTF-8"):
            batch.raw_headers(1)
        with pytest.raises(PermanentError, match="not UTF-8"):
            again.message(0)
    assert (again.key(0), again.payload(0)) == (b"k", b"v")
    assert list(message_of(unreadable, "t", strict=False).raw_headers) == []
    assert list(batch.raw_headers(0)) == []
