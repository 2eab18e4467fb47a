"""What a publishing service's database says of the keys of a destination."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from streambind.persistence.database import Database
from streambind.persistence.key_chunks import key_chunks
from streambind.verification.verdict import Given

CHUNK = 10_000
"""Keys per statement of a walk over all keys."""


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
        columns = self._tables.key.c
        last: bytes | None = None
        while True:
            query = select(columns.key, columns.seq, columns.event_id).where(
                columns.destination == self._destination
            )
            if last is not None:
                query = query.where(columns.key > last)
            query = query.order_by(columns.key).limit(CHUNK)
            rows = self._database.run(lambda c, query=query: c.execute(query).all())  # type: ignore[misc]
            for row in rows:
                yield row.key, Given(row.seq, row.event_id)
            if len(rows) < CHUNK:
                return
            last = rows[-1].key

    def given(self, keys: Sequence[bytes]) -> dict[bytes, Given]:
        """The last events of these keys; those without one are absent."""
        columns = self._tables.key.c

        def work(connection: Connection) -> dict[bytes, Given]:
            found: dict[bytes, Given] = {}
            for some in key_chunks(keys):
                rows = connection.execute(
                    select(columns.key, columns.seq, columns.event_id).where(
                        columns.destination == self._destination, columns.key.in_(some)
                    )
                )
                found |= {row.key: Given(row.seq, row.event_id) for row in rows}
            return found

        return self._database.run(work)

    def unsent(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """The first number of each key that waits in the outbox."""
        columns = self._tables.outbox.c

        def work(connection: Connection) -> dict[bytes, int]:
            found: dict[bytes, int] = {}
            for some in key_chunks(keys):
                rows = connection.execute(
                    select(columns.key, func.min(columns.seq))
                    .where(columns.destination == self._destination, columns.key.in_(some))
                    .group_by(columns.key)
                )
                found |= {key: seq for key, seq in rows if seq is not None}
            return found

        return self._database.run(work)

    def blocked(self) -> set[bytes]:
        """The keys that the relay has given up for now."""
        columns = self._tables.blocked.c
        query = select(columns.key).where(columns.destination == self._destination, columns.row_id == 0)
        return self._database.run(lambda c: set(c.scalars(query)))
