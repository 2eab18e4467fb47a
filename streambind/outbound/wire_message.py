"""What is written as the message that travels: the headers that streambind adds (pure)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple, overload
from uuid import UUID

from streambind.message import COMMITTED, EVENT_ID, ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound.outgoing import Headers, Outgoing, before_types, with_headers
from streambind.persistence.stored_headers import load_headers

_WRITTEN_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


class OutboxRow(NamedTuple):
    """A committed message; `key` and `seq` are None where no order was asked for, `event_id` where it travels as
    it is; whether the text of an `event_id` is one is not known before it travels, bytes are a text that is."""

    id: int
    shard: int
    binding: str
    destination: str
    key: bytes | None
    seq: int | None
    event_id: UUID | str | bytes | None
    payload: bytes | None
    headers: str
    partition: int | None = None
    created_ms: int | None = None

    @property
    def shown(self) -> str:
        """What it is, for people."""
        if self.event_id is None:
            return "a dead letter"
        known = self.event_id.decode() if isinstance(self.event_id, bytes) else self.event_id
        return f"event {known}"


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
    _, _, _, destination, key, seq, event_id, payload, stored, partition, created_ms = row
    if event_id is None:
        copied = load_headers(stored)
        return Message(payload, key, raw_headers=copied, destination=destination, partition=partition)
    first, last = _loaded(stored)
    headers = [*first, (EVENT_ID, event_id if isinstance(event_id, bytes) else _id_text(event_id))]
    if created_ms is not None:
        headers.append((COMMITTED, _digits(created_ms)))
    if key is not None and seq is not None:
        headers.append((ORIGIN, _origin_stem(source, destination) + _digits(seq)))
    headers += last
    return Message(payload, key, raw_headers=headers, destination=destination, partition=partition)


def check_row(row: OutboxRow) -> None:
    """See that `row_message` can read it.

    Raises:
        AttributeError, TypeError, ValueError, RecursionError: it cannot.
    """
    if row.event_id is None:
        load_headers(row.headers)
        return
    _loaded(row.headers)
    if not isinstance(row.event_id, bytes):
        _id_text(row.event_id)
    for number in (row.created_ms, row.seq):
        if number is not None:
            _check_number(number)


class RowMessages(Sequence[Message]):
    """The messages of rows that have been checked, each made when it is asked for: thousands that are made ahead
    are ten thousands of objects, which Python's collector walks over again and again while they wait."""

    def __init__(self, rows: Sequence[OutboxRow], source: Source) -> None:
        self._rows = rows
        self._source = source

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> RowMessages: ...
    def __getitem__(self, index: int | slice) -> Message | RowMessages:
        if isinstance(index, slice):
            return RowMessages(self._rows[index], self._source)
        return row_message(self._rows[index], self._source)

    def __iter__(self) -> Iterator[Message]:
        return map(row_message, self._rows, repeat(self._source))


def direct_message(outgoing: Outgoing) -> Message:
    """The message of what does not go through the outbox: it has an `sb-event-id`, and as `sb-committed` the
    time here and now; no number and thus no `sb-origin`."""
    ours = [(EVENT_ID, str(outgoing.event_id).encode()), (COMMITTED, b"%d" % (time.time_ns() // 1_000_000))]
    headers = with_headers(outgoing.headers, ours)
    return Message(outgoing.payload, outgoing.key, raw_headers=headers, destination=outgoing.destination)


def _id_text(event_id: UUID | str) -> bytes:
    text = str(event_id)
    return (text if _WRITTEN_ID(text) else str(UUID(text))).encode()


def _digits(number: int) -> bytes:
    _check_number(number)
    return b"%d" % number


def _check_number(number: object) -> None:
    if not isinstance(number, int):
        raise TypeError(f"{number!r} is no number")  # some databases keep whatever is written


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
