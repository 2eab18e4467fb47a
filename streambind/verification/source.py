"""What a publishing service's database says of the keys of a destination."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select

from streambind.persistence.database import Database
from streambind.verification.key_rows import rows_of, walk
from streambind.verification.verdict import Given


class SourceIdentity(NamedTuple):
    """Which source it is, and its epoch."""

    source_id: str
    epoch: int


class SourceKeys:
    """One destination's keys. Every question is a transaction of its own, and a short one."""

    def __init__(self, database: Database, destination: str) -> None:
        self._database = database
        self._tables = database.tables
        self._destination = destination

    def identity(self) -> SourceIdentity:
        table = self._tables.source.c
        return self._database.run(lambda c: SourceIdentity(*c.execute(select(table.source_id, table.epoch)).one()))

    def walk(self) -> Iterator[tuple[bytes, Given]]:
        """All keys in their order, as they are when their turn comes."""
        for row in walk(self._database, self._given(), self._tables.key.c.key):
            yield row.key, Given(row.seq, row.event_id)

    def given(self, keys: Sequence[bytes]) -> dict[bytes, Given]:
        """The last events of these keys; those without one are absent."""
        rows = rows_of(self._database, self._given(), self._tables.key.c.key, keys)
        return {row.key: Given(row.seq, row.event_id) for row in rows}

    def unsent(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """The first number of each key that waits in the outbox."""
        columns = self._tables.outbox.c
        first = func.min(columns.seq).label("first_seq")
        query = select(columns.key, first).where(columns.destination == self._destination)
        rows = rows_of(self._database, query.group_by(columns.key), columns.key, keys)
        return {row.key: row.first_seq for row in rows if row.first_seq is not None}

    def blocked(self) -> set[bytes]:
        """The keys that the relay has given up for now."""
        columns = self._tables.blocked.c
        query = select(columns.key).where(columns.destination == self._destination, columns.row_id == 0)
        return self._database.run(lambda c: set(c.scalars(query)))

    def _given(self) -> Select[tuple[bytes, int, UUID | None]]:
        columns = self._tables.key.c
        return select(columns.key, columns.seq, columns.event_id).where(columns.destination == self._destination)
