"""Many rows written by a statement of one row, executed for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Table, bindparam, delete, insert, update

from streambind.persistence.row_statements import Also, Columns, RowWrite, Upsert


class ExecutedMany:
    """`RowStatements` of one row, executed for many: for drivers that do so without a round trip per row."""

    def __init__(self, upsert: Upsert) -> None:
        self._upsert = upsert

    def insert(self, table: Table, columns: Columns, also: Also | None = None) -> RowWrite:
        return self._inserting(insert(table), columns, also)

    def upsert(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        also = also or {}
        replaced = [*columns, *(table.c[name] for name in also)]
        return self._inserting(self._upsert(table, key, replaced), columns, also)

    def update(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        new: dict[str, Any] = {column.key: bindparam(f"new_{column.key}") for column in columns}
        statement = update(table).where(*_is(key)).values(new | dict(also or {}))
        return _executed(statement, [f"old_{c.key}" for c in key] + [f"new_{c.key}" for c in columns])

    def delete(self, table: Table, key: Columns) -> RowWrite:
        return _executed(delete(table).where(*_is(key)), [f"old_{column.key}" for column in key])

    def _inserting(self, statement: Insert, columns: Columns, also: Also | None) -> RowWrite:
        return _executed(statement.values(dict(also)) if also else statement, [column.key for column in columns])


def _is(key: Columns) -> list[Any]:
    return [column == bindparam(f"old_{column.key}") for column in key]


def _executed(statement: Any, names: Sequence[str]) -> RowWrite:
    def write(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])

    return write
