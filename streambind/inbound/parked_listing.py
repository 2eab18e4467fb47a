"""The parked messages of a group as people look at them: those that they ask for, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from streambind.inbound.parked_keys import ParkedState
from streambind.inbound.parked_queues import ParkedMessage, Queue
from streambind.persistence.database import Database
from streambind.persistence.stored_headers import store_headers

PAGE, WHOLE_PAGE = 1_000, 100
"""Messages read at once: without payloads, and with them, which may be a megabyte each."""

_BYTES: dict[str, Any] = {"payload": None, "headers": store_headers([])}
"""What stands for them where they are not read."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A parked message, and how its key fares: the error is that of the key's first message, which has the id
    `first`."""

    queue: Queue
    state: ParkedState
    attempts: int
    error_class: str
    error_text: str
    since_ms: int
    first: int
    message: ParkedMessage


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """What is asked for; None asks for nothing. `key`: the record's. `error`: ASCII text in the exception or its
    message, in letters of any case. Times are those since when the key has been parked."""

    ids: frozenset[int] | None = None
    destination: str | None = None
    key: bytes | None = None
    state: ParkedState | None = None
    error: str | None = None
    since_ms: int | None = None
    before_ms: int | None = None


EVERYTHING = ParkedFilter()


class ParkedListing:
    """Nothing is locked, nor kept in memory, between two pages: what is parked or handled meanwhile may be left
    out, or be listed still."""

    def __init__(self, database: Database, group: str, destinations: Sequence[str]) -> None:
        self._database = database
        self._key, self._message = database.tables.parked_key, database.tables.parked
        self._group = group
        self._destinations = destinations

    def messages(self, wanted: ParkedFilter, *, whole: bool) -> Iterator[StoredMessage]:
        """By destination and key, each key's in the order in which they came; `whole`: with payloads and headers.

        Raises:
            SQLAlchemyError: the database is away.
        """
        names = [name for name in ParkedMessage.__dataclass_fields__ if whole or name not in _BYTES]
        size = WHOLE_PAGE if whole else PAGE
        for destination in self._destinations:
            if wanted.destination not in (None, destination):
                continue
            query = self._query(names, destination, wanted).limit(size)
            page = self._page(query)
            while page:
                yield from (_stored(row, names) for row in page)
                page = self._page(query.where(self._after(page[-1]))) if len(page) == size else []

    def _page(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return self._database.run(lambda connection: connection.execute(query).all())

    def _query(self, names: Sequence[str], destination: str, wanted: ParkedFilter) -> Select[Any]:
        key, message = self._key.c, self._message.c
        return (
            select(
                message.key.label("queue"),
                self._first().label("first"),
                *(message[name] for name in names),
                *(key[name] for name in ("state", "attempts", "error_class", "error_text", "since_ms")),
            )
            .where(
                *(key[name] == message[name] for name in ("group_name", "destination", "key")),
                message.group_name == self._group,
                message.destination == destination,
                *self._conditions(wanted),
            )
            .order_by(message.key, message.id)
        )

    def _first(self) -> Any:
        """The lowest id of the message's key."""
        message, other = self._message.c, self._message.alias().c
        same = (other[name] == message[name] for name in ("group_name", "destination", "key"))
        return select(func.min(other.id)).where(*same).scalar_subquery()

    def _conditions(self, wanted: ParkedFilter) -> Iterator[ColumnElement[bool]]:
        key, message = self._key.c, self._message.c
        if wanted.ids is not None:
            yield message.id.in_(sorted(wanted.ids))
        if wanted.key is not None:
            yield message.record_key == wanted.key
        if wanted.state is not None:
            yield key.state == wanted.state
        if wanted.error is not None:
            text = func.lower(key.error_class + ": " + key.error_text)
            yield text.contains(wanted.error.lower(), autoescape=True)
        if wanted.since_ms is not None:
            yield key.since_ms >= wanted.since_ms
        if wanted.before_ms is not None:
            yield key.since_ms < wanted.before_ms

    def _after(self, last: Row[Any]) -> ColumnElement[bool]:
        message = self._message.c
        # The first condition is what an index can begin with.
        return and_(message.key >= last.queue, or_(message.key > last.queue, message.id > last.id))


def _stored(row: Row[Any], names: Sequence[str]) -> StoredMessage:
    fields: dict[str, Any] = {**_BYTES, **{name: getattr(row, name) for name in names}}
    return StoredMessage(
        queue=(row.destination, row.queue),
        state=ParkedState(row.state),
        attempts=row.attempts,
        error_class=row.error_class,
        error_text=row.error_text,
        since_ms=row.since_ms,
        first=row.first,
        message=ParkedMessage(**fields),
    )
