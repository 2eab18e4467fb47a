"""The rows of a published class, read to be sent again: each stays as it is until the transaction ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, func, inspect, literal_column, select, tuple_
from sqlalchemy.orm import Mapper, Session, lazyload, undefer

from streambind.errors import CaptureError, StreambindError
from streambind.event import JobType
from streambind.message import SNAPSHOT
from streambind.outbound.event_ids import event_ids
from streambind.outbound.outgoing import Outgoing, with_headers
from streambind.outbound.plans import Change, Plans
from streambind.outbound.publication import publications_of
from streambind.outbound.published_tables import published_mappers
from streambind.persistence.dialect import Dialect

Key = tuple[Any, ...]
"""A primary key."""


class SnapshotRows:
    """The rows of one mapper, and of none below it, for one output binding. `where`: only those, in SQL."""

    def __init__(self, mapper: Mapper[Any], plans: Plans, binding: str, *, where: str | None = None) -> None:
        self.mapper = mapper
        self.name = f"{mapper.class_.__module__}.{mapper.class_.__qualname__}"
        self._plan = next(p for p in plans.of(mapper).publications if p.output.binding == binding)
        self._key = list(mapper.primary_key)
        self._where: list[ColumnElement[bool]] = [] if where is None else [_condition(where)]
        if mapper.polymorphic_on is not None:
            self._where.append(mapper.polymorphic_on == mapper.polymorphic_identity)

    @property
    def columns(self) -> list[str]:
        """The names that `where` may use."""
        return list(dict.fromkeys(column.name for table in self.mapper.tables for column in table.columns))

    def count(self, session: Session, *, all_of_them: bool = False) -> int:
        """How many there are; `all_of_them`: whatever `where` says."""
        query = select(func.count()).select_from(self.mapper.class_).where(*(() if all_of_them else self._where))
        return int(session.execute(query, bind_arguments={"mapper": self.mapper}).scalar_one())

    def after(self, session: Session, key: Key | None, *, limit: int) -> list[Key]:
        """The next primary keys in their order; fewer than `limit` only at the end.

        To be read with `of`: a query that locks may leave out what is deleted while it waits, and would take that
        for the end.
        """
        query = select(*self._key).select_from(self.mapper.class_).where(*self._where)
        if key is not None:
            query = query.where(tuple_(*self._key) > tuple_(*key) if len(key) > 1 else self._key[0] > key[0])
        found = session.execute(query.order_by(*self._key).limit(limit), bind_arguments={"mapper": self.mapper})
        return [tuple(row) for row in found]

    def of(self, session: Session, dialect: Dialect | None, keys: Sequence[Key]) -> list[Any]:
        """The entities with these primary keys as far as they are there, locked in the order of the keys; without
        a dialect not locked."""
        if not keys:
            return []
        chosen = tuple_(*self._key).in_(keys) if len(self._key) > 1 else self._key[0].in_([k[0] for k in keys])
        # Joined rows would be locked too, where that is possible at all; what `build` asks for is loaded then.
        query = select(self.mapper.class_).where(chosen, *self._where).order_by(*self._key)
        query = query.options(lazyload("*"), undefer("*"))
        if dialect is not None:
            query = dialect.rewritten(query, [table for table in self.mapper.tables if isinstance(table, Table)])
        return list(session.execute(query, bind_arguments={"mapper": self.mapper}).scalars())

    def messages(self, entities: Sequence[Any], job: JobType, snapshot: UUID | None) -> Iterator[Outgoing]:
        """Their events, as a change would make them; with a header that says of which snapshot they are, if any.

        Raises:
            CaptureError: one cannot become an event; the text names it.
            EncodeError: one cannot be encoded, or is too large.
        """
        more = [] if snapshot is None else [(SNAPSHOT, str(snapshot).encode())]
        ids = event_ids(len(entities))
        for entity in entities:
            try:
                for message in self._plan.messages(Change(job, entity), ids):
                    yield message._replace(headers=with_headers(message.headers, more))
            except StreambindError as error:
                raise type(error)(f"{self.name} {key_text(self.key(entity))}: {error}") from error

    def record_key(self, entity: Any) -> bytes | None:
        """The key that the entity's events have."""
        return self._plan.key(entity)

    def key(self, entity: Any) -> Key:
        return tuple(inspect(entity).identity)


def rows_of(plans: Plans, binding: str, *, where: str | None = None) -> list[SnapshotRows]:
    """All that is published to an output binding; each row belongs to one of these."""
    return [
        SnapshotRows(mapper, plans, binding, where=where)
        for mapper in published_mappers(plans)
        if any(plan.output.binding == binding for plan in plans.of(mapper).publications)
        and publications_of(mapper.class_)
    ]


def _condition(where: str) -> ColumnElement[bool]:
    """SQL as it was written: a colon in it names no parameter, and a comment at its end hides nothing."""
    return literal_column(f"({where}\n)")


_TYPES: dict[str, type[Any]] = {
    each.__name__: each for each in (bool, int, str, float, bytes, UUID, datetime, date, time, Decimal)
}


def key_text(key: Key) -> str:
    """A primary key as text, for `read_key` to read back; and for people.

    Raises:
        CaptureError: a value of it has no text here.
    """
    return json.dumps([_value_text(value) for value in key], ensure_ascii=False)


def read_key(stored: str) -> Key:
    """What `key_text` made."""
    return tuple(_value(kind, value) for kind, value in json.loads(stored))


def _value_text(value: Any) -> tuple[str, str]:
    if isinstance(value, Enum):
        raise CaptureError(_unknown(value))
    name = type(value).__name__
    if _TYPES.get(name) is not type(value):
        raise CaptureError(_unknown(value))
    if isinstance(value, bytes):
        return name, value.hex()
    if isinstance(value, datetime | date | time):
        return name, value.isoformat()
    return name, repr(value) if isinstance(value, float) else str(value)


def _value(kind: str, value: str) -> Any:
    made = _TYPES[kind]
    if made is bool:
        return value == "True"
    if made is bytes:
        return bytes.fromhex(value)
    if issubclass(made, date | time):
        return made.fromisoformat(value)
    return made(value)


def _unknown(value: Any) -> str:
    known = ", ".join(_TYPES)
    return f"a primary key that holds a {type(value).__name__} cannot be gone through in order: known are {known}"
