"""One partition's records, in order, and the batch that a listener sees of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from streambind.binding.binder import Lane
from streambind.message import Message, RawHeaders


class Record(NamedTuple):
    """What the broker keeps of a message."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    payload: bytes | None
    headers: RawHeaders


class OutsideLog(Exception):
    """A position before the first offset that is kept, or after the end."""

    def __init__(self, position: int, *, start: int, end: int) -> None:
        super().__init__(f"position {position} is outside {start}..{end}")
        self.start = start
        self.end = end


class PartitionLog:
    """Append-only, but for retention. Offsets ascend; they need not be dense. Not thread-safe."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self._offsets: list[int] = []
        self._records: list[Record] = []

    def append(self, message: Message, now_ms: int) -> int:
        record = Record(self.end, now_ms, message.key, message.payload, tuple(message.raw_headers))
        self._offsets.append(record.offset)
        self._records.append(record)
        self.end += 1
        return record.offset

    def read(self, position: int, limit: int) -> list[Record]:
        """Up to `limit` records from `position` on.

        Raises:
            OutsideLog: the position is not between start and end.
        """
        if not self.start <= position <= self.end:
            raise OutsideLog(position, start=self.start, end=self.end)
        at = bisect_left(self._offsets, position)
        return self._records[at : at + limit]

    def offset_at(self, timestamp_ms: int) -> int:
        """The offset of the first record that is not older; the end if all are."""
        return next((record.offset for record in self._records if record.timestamp_ms >= timestamp_ms), self.end)

    def delete_before(self, offset: int) -> None:
        """Retention: forget what lies before `offset`."""
        kept = bisect_left(self._offsets, offset)
        del self._offsets[:kept], self._records[:kept]
        self.start = max(self.start, min(offset, self.end))

    def compact(self) -> None:
        """Forget what a later record of its key follows."""
        last = {record.key: record.offset for record in self._records}
        self._records = [r for r in self._records if r.key is None or last[r.key] == r.offset]
        self._offsets = [record.offset for record in self._records]

    def leave_hole(self, offsets: int) -> None:
        """Use up offsets without records, as transaction markers and compaction do."""
        self.end += offsets


class MemoryBatch:
    """A `Batch` over records of one partition; its `position` may lie before the first record's offset."""

    __slots__ = ("_lane", "_position", "_records")

    def __init__(self, lane: Lane, position: int, records: Sequence[Record]) -> None:
        self._lane = lane
        self._position = position
        self._records = records

    @property
    def destination(self) -> str:
        return self._lane.destination

    @property
    def partition(self) -> int:
        return self._lane.partition

    @property
    def position(self) -> int:
        return self._position

    @property
    def next_offset(self) -> int:
        return self._records[-1].offset + 1

    def __len__(self) -> int:
        return len(self._records)

    def offset(self, i: int) -> int:
        return self._records[i].offset

    def key(self, i: int) -> bytes | None:
        return self._records[i].key

    def payload(self, i: int) -> bytes | None:
        return self._records[i].payload

    def raw_headers(self, i: int) -> RawHeaders:
        return self._records[i].headers

    def timestamp_ms(self, i: int) -> int:
        return self._records[i].timestamp_ms

    def message(self, i: int) -> Message:
        return message_of(self._lane, self._records[i])

    def payloads(self) -> list[bytes | None]:
        return [record.payload for record in self._records]

    def after(self, done: int) -> MemoryBatch | None:
        """What is left when the first `done` messages are finished, None if nothing is."""
        if done == 0:
            return self
        rest = self._records[done:]
        return MemoryBatch(self._lane, rest[0].offset, rest) if rest else None


def message_of(lane: Lane, record: Record) -> Message:
    return Message(
        record.payload,
        record.key,
        raw_headers=record.headers,
        destination=lane.destination,
        partition=lane.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
    )
