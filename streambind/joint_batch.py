"""Batches of several partitions, seen as one: what is little in each of them is done at the price of one."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.message import Batch, Message, RawHeaders


class JointBatch:
    """A `Batch` of the messages of several ones, which are of different partitions of one destination: those of
    the first, in their order, then those of the second, and so on.

    A partition's own is in `parts`; `partition`, `position` and `next_offset` are the first one's.
    """

    def __init__(self, parts: Sequence[Batch]) -> None:
        self.parts = tuple(parts)
        first = self.parts[0]
        self.destination, self.partition = first.destination, first.partition
        self.position, self.next_offset = first.position, first.next_offset
        self._messages = [(part, i) for part in self.parts for i in range(len(part))]

    def __len__(self) -> int:
        return len(self._messages)

    def offset(self, i: int) -> int:
        part, at = self._messages[i]
        return part.offset(at)

    def key(self, i: int) -> bytes | None:
        part, at = self._messages[i]
        return part.key(at)

    def payload(self, i: int) -> bytes | None:
        part, at = self._messages[i]
        return part.payload(at)

    def payloads(self) -> list[bytes | None]:
        return [payload for part in self.parts for payload in part.payloads()]

    def raw_headers(self, i: int) -> RawHeaders:
        part, at = self._messages[i]
        return part.raw_headers(at)

    def timestamp_ms(self, i: int) -> int:
        part, at = self._messages[i]
        return part.timestamp_ms(at)

    def message(self, i: int) -> Message:
        part, at = self._messages[i]
        return part.message(at)

    def __repr__(self) -> str:
        return f"<JointBatch {' '.join(map(repr, self.parts))}>"


def parts_of(batch: Batch) -> Sequence[Batch]:
    """The batches of one partition each that it is made of, in their order: itself, if it is no joint one."""
    parts: Sequence[Batch] = getattr(batch, "parts", (batch,))
    return parts


def part_of(batch: Batch, i: int) -> tuple[Batch, int]:
    """The batch of one partition that a message is of, and its index there."""
    at = i
    for part in parts_of(batch):
        if at < len(part):
            return part, at
        at -= len(part)
    raise IndexError(i)


def place_of(batch: Batch, i: int) -> str:
    """Where a message lies, for people. Nothing of it is read but its offset: it may be one that cannot be."""
    part, at = part_of(batch, i)
    return f"{batch.destination}[{part.partition}]@{part.offset(at)}"
