"""An outbox row as the message that travels (pure)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from streambind.headers import TYPES
from streambind.message import EVENT_ID, ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound.stored_headers import load_headers


class OutboxRow(NamedTuple):
    """A committed message; `key` and `seq` are None where no order was asked for."""

    id: int
    shard: int
    binding: str
    destination: str
    key: bytes | None
    seq: int | None
    event_id: UUID
    payload: bytes | None
    headers: str


class Source(NamedTuple):
    """The row of `sb_source`: which database the events come from."""

    source_id: str
    epoch: int


def message_of(row: OutboxRow, source: Source) -> Message:
    """Key, payload and headers of the row, then `sb-event-id` and, for numbered events, `sb-origin`; Spring's
    type map stays last."""
    headers = list(_headers(row.headers))
    ours: list[tuple[str, bytes | None]] = [(EVENT_ID, str(row.event_id).encode())]
    if row.key is not None and row.seq is not None:
        origin = Origin(source.source_id, source.epoch, row.destination, row.seq)
        ours.append((ORIGIN, str(origin).encode()))
    end = len(headers) - 1 if headers and headers[-1][0] == TYPES else len(headers)
    headers[end:end] = ours
    return Message(row.payload, row.key, raw_headers=headers, destination=row.destination)


@lru_cache(maxsize=1024)
def _headers(text: str) -> tuple[tuple[str, bytes | None], ...]:
    """Rows of one event class mostly have the same headers."""
    return tuple(load_headers(text))
