"""Batches for tests of the inbound side, without a broker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from streambind.errors import PermanentError
from streambind.headers import encode_headers
from streambind.message import Message, RawHeaders
from streambind.origin import Origin
from streambind.read_ahead import ReadAhead

SOURCE = "7d3a2c1e-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Record:
    payload: bytes | None
    key: bytes | None = None
    headers: RawHeaders = ()
    timestamp_ms: int = 1_660_000_000_000
    unreadable: bool = False
    """Whether asking for the headers raises PermanentError."""


@dataclass
class ListBatch:
    """A `Batch` of records at consecutive or given offsets."""

    records: Sequence[Record]
    start: int = 0
    destination: str = "things"
    partition: int = 0
    offsets: Sequence[int] | None = None
    before: int | None = None
    asked_headers: list[int] = field(default_factory=list)
    """Indexes whose headers were asked for."""
    ahead: ReadAhead | None = None

    def __post_init__(self) -> None:
        if self.offsets is None:
            self.offsets = range(self.start, self.start + len(self.records))

    @property
    def position(self) -> int:
        return self.offset(0) if self.before is None else self.before

    @property
    def next_offset(self) -> int:
        return self.offset(len(self.records) - 1) + 1

    def __len__(self) -> int:
        return len(self.records)

    def offset(self, i: int) -> int:
        assert self.offsets is not None
        return self.offsets[i]

    def key(self, i: int) -> bytes | None:
        return self.records[i].key

    def payload(self, i: int) -> bytes | None:
        return self.records[i].payload

    def raw_headers(self, i: int) -> RawHeaders:
        self.asked_headers.append(i)
        if self.records[i].unreadable:
            raise PermanentError("a header's name is not UTF-8")
        return self.records[i].headers

    def timestamp_ms(self, i: int) -> int:
        return self.records[i].timestamp_ms

    def message(self, i: int) -> Message:
        record = self.records[i]
        return Message(
            record.payload,
            record.key,
            raw_headers=self.raw_headers(i),
            destination=self.destination,
            partition=self.partition,
            offset=self.offset(i),
            timestamp_ms=record.timestamp_ms,
        )

    def payloads(self) -> list[bytes | None]:
        return [record.payload for record in self.records]

    def after(self, done: int) -> ListBatch | None:
        """The undone rest, as a binder delivers it again."""
        if done == len(self.records):
            return None
        assert self.offsets is not None
        before = self.position if done == 0 else self.offset(done)
        return ListBatch(
            self.records[done:],
            0,
            self.destination,
            self.partition,
            self.offsets[done:],
            before,
            self.asked_headers,
        )


def record(payload: object, key: str | None = None, **headers: object) -> Record:
    """A JSON payload (None: a tombstone; bytes as they are) with typed headers."""
    data = payload if payload is None or isinstance(payload, bytes) else json.dumps(payload).encode()
    return Record(data, None if key is None else key.encode(), encode_headers(headers))


def numbered(
    payload: object,
    key: str,
    seq: int,
    *,
    epoch: int = 1,
    event_id: uuid.UUID | None = None,
    source: str = SOURCE,
    destination: str = "things",
) -> Record:
    """A record that carries its number among the events of its key."""
    origin = Origin(source, epoch, destination, seq)
    identity = event_id or uuid.uuid5(uuid.NAMESPACE_URL, f"{source}/{epoch}/{key}/{seq}")
    return record(payload, key, **{"sb-event-id": str(identity), "sb-origin": str(origin)})


def batch_of(*payloads: object, start: int = 0, partition: int = 0) -> ListBatch:
    """Records with these payloads, at consecutive offsets."""
    return ListBatch([record(payload) for payload in payloads], start, partition=partition)
