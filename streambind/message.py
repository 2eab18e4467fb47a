"""What travels: a message, the batch it arrives in, and the names of the headers that streambind knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streambind.headers import decode_headers, header_text
from streambind.origin import Origin, Source, read_origin

RawHeaders = Sequence[tuple[str, bytes | None]]
"""Headers as they travel: in wire order, repeated names allowed."""

CONTENT_TYPE = "contentType"
TYPE = "type"
EVENT_ID = "sb-event-id"
ORIGIN = "sb-origin"
ROUTE = "sb-route"
COMMITTED = "sb-committed"
SNAPSHOT = "sb-snapshot"


class Message:
    """Key, payload bytes and headers, and on the way in where they came from.

    `payload` is None for a tombstone. `raw_headers` are the headers as they travel; `headers` is a read-only
    view with Spring's types decoded, made when it is first asked for; of a repeated name the last one counts.
    On the way out `partition` picks a partition, None leaves it to the key. `timestamp_ms` is the broker's
    record time in milliseconds since the epoch.
    """

    __slots__ = (
        "_headers",
        "destination",
        "key",
        "offset",
        "partition",
        "payload",
        "raw_headers",
        "timestamp_ms",
    )

    def __init__(
        self,
        payload: bytes | None,
        key: bytes | None = None,
        *,
        raw_headers: RawHeaders = (),
        destination: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        self.payload = payload
        self.key = key
        self.raw_headers = raw_headers
        self.destination = destination
        self.partition = partition
        self.offset = offset
        self.timestamp_ms = timestamp_ms
        self._headers: Mapping[str, object] | None = None

    @property
    def headers(self) -> Mapping[str, object]:
        if self._headers is None:
            self._headers = decode_headers(self.raw_headers)
        return self._headers

    def __repr__(self) -> str:
        size = "null" if self.payload is None else f"{len(self.payload)} bytes"
        return f"<Message {self.destination}[{self.partition}]@{self.offset} key={self.key!r} {size}>"


class Batch(Protocol):
    """The inbound unit: consecutive messages of one partition, at least one.

    Fields are read from the client when asked for, never before. `position` is where the partition stood
    before this batch: the `next_offset` of the batch before, or the offset that the partition was assigned
    at. It can be lower than the first message's offset (compaction and transaction markers leave holes).
    """

    @property
    def destination(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def next_offset(self) -> int:
        """The position once all messages of the batch are done."""
        ...

    def __len__(self) -> int: ...
    def offset(self, i: int) -> int: ...
    def key(self, i: int) -> bytes | None: ...
    def payload(self, i: int) -> bytes | None: ...
    def raw_headers(self, i: int) -> RawHeaders: ...
    def timestamp_ms(self, i: int) -> int: ...
    def message(self, i: int) -> Message: ...
    def payloads(self) -> list[bytes | None]:
        """All payloads at once, for the hot path."""
        ...


def boundary(batch: Batch, done: int) -> int:
    """The position after the first `done` messages of the batch: what both the position store and the broker
    record, and what the undone rest's `position` must be when it is delivered again."""
    if done == 0:
        return batch.position
    if done == len(batch):
        return batch.next_offset
    return batch.offset(done)


def origin_of(headers: RawHeaders) -> Origin | None:
    """The origin that a record carries; None if it carries none, or what is none."""
    text = header_text(headers, ORIGIN)
    return None if text is None else Origin.parse(text)


def number_of(headers: RawHeaders) -> tuple[Source, int] | None:
    """As `origin_of`, for every message of every batch: the source, of which there are few, and the number."""
    named = dict(headers)
    if ORIGIN not in named:
        return None
    value = named[ORIGIN]
    if value is not None and value.startswith(b"1/"):
        return read_origin(value)
    origin = origin_of(headers)  # It is in quotation marks, or repeated, or none.
    return None if origin is None else (Source(*origin[:3]), origin.seq)
