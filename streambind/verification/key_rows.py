"""Rows that are found by their keys, read in short transactions, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select

from streambind.persistence.database import Database
from streambind.persistence.key_chunks import key_chunks

CHUNK = 10_000
"""Rows per transaction of a walk."""


def walk(database: Database, query: Select[Any], key: ColumnElement[bytes]) -> Iterator[Row[Any]]:
    """The rows of a query that has one of each key, which it names `key`, in the order of their keys; each as it
    is when its turn comes."""
    last: bytes | None = None
    while True:
        rest = query if last is None else query.where(key > last)
        rows = database.run(lambda c, rest=rest: c.execute(rest.order_by(key).limit(CHUNK)).all())  # type: ignore[misc]
        yield from rows
        if len(rows) < CHUNK:
            return
        last = rows[-1].key


def rows_of(
    database: Database, query: Select[Any], key: ColumnElement[bytes], keys: Sequence[bytes]
) -> list[Row[Any]]:
    """The rows of a query that have one of these keys, all read in one transaction."""

    def work(connection: Connection) -> list[Row[Any]]:
        return [row for some in key_chunks(keys) for row in connection.execute(query.where(key.in_(some)))]

    return database.run(work)
