"""What is written as the message that travels: the headers that streambind adds (pure)."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from streambind.message import COMMITTED, EVENT_ID, ORIGIN, Message, RawHeaders
from streambind.origin import Origin
from streambind.outbound.outgoing import Headers, Outgoing, before_types, with_headers
from streambind.persistence.stored_headers import load_headers

_WRITTEN_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


class OutboxRow(NamedTuple):
    """A committed message; `key` and `seq` are None where no order was asked for, `event_id` where it travels as
    it is; whether the text of an `event_id` is one is not known before it travels."""

    id: int
    shard: int
    binding: str
    destination: str
    key: bytes | None
    seq: int | None
    event_id: UUID | str | None
    payload: bytes | None
    headers: str
    partition: int | None = None
    created_ms: int | None = None


class Source(NamedTuple):
    """The row of `sb_source`: which database the events come from."""

    source_id: str
    epoch: int


def row_message(row: OutboxRow, source: Source) -> Message:
    """A row's message: its headers, `sb-event-id`, `sb-committed` with the database's time and, for numbered
    events, `sb-origin`; Spring's type map stays last. What is no event of this service travels as it is.

    Raises:
        AttributeError, TypeError, ValueError, RecursionError: the row cannot be read.
    """
    if row.event_id is None:
        return _message(row, load_headers(row.headers))
    first, last = _loaded(row.headers)
    headers = [*first, (EVENT_ID, _id_text(row.event_id).encode())]
    if row.created_ms is not None:
        headers.append((COMMITTED, b"%d" % row.created_ms))
    if row.key is not None and row.seq is not None:
        headers.append((ORIGIN, b"%s%d" % (_origin_stem(source, row.destination), row.seq)))
    headers += last
    return _message(row, headers)


def direct_message(outgoing: Outgoing) -> Message:
    """The message of what does not go through the outbox: it has an `sb-event-id`, and as `sb-committed` the
    time here and now; no number and thus no `sb-origin`."""
    ours = [(EVENT_ID, str(outgoing.event_id).encode()), (COMMITTED, b"%d" % (time.time_ns() // 1_000_000))]
    headers = with_headers(outgoing.headers, ours)
    return Message(outgoing.payload, outgoing.key, raw_headers=headers, destination=outgoing.destination)


def _id_text(event_id: UUID | str) -> str:
    text = str(event_id)
    return text if _WRITTEN_ID(text) else str(UUID(text))


def _message(row: OutboxRow, headers: RawHeaders) -> Message:
    return Message(row.payload, row.key, raw_headers=headers, destination=row.destination, partition=row.partition)


@lru_cache(maxsize=1024)
def _origin_stem(source: Source, destination: str) -> bytes:
    """An origin without its number: made once per destination, because every message needs one."""
    first = str(Origin(source.source_id, source.epoch, destination, 1))
    return first.removesuffix("1").encode()


@lru_cache(maxsize=1024)
def _loaded(text: str) -> tuple[Headers, Headers]:
    """Those that come before ours, and those behind; rows of one event class mostly have the same headers."""
    headers = tuple(load_headers(text))
    end = before_types(headers)
    return headers[:end], headers[end:]
