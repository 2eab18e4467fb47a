"""Many rows of a table written by one statement: what a replica asks of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, Insert, Table, bindparam, delete, insert, update

from streambind.persistence.dialect import Dialect
from streambind.persistence.postgres_rows import PostgresRows

Columns = Sequence[Column[Any]]
Also = Mapping[str, ColumnElement[Any]]

RowWrite = Callable[[Connection, Sequence[Sequence[Any]]], None]
"""Writes rows, at least one: each a value per column, as the service's code has it (before SQLAlchemy's types have
made it the driver's). No two of them have the same key."""


class RowStatements(Protocol):
    """What a dialect must give: statements on a table, made once and run with any number of rows.

    A row is found by its `key`, columns of which the table says that they are unique together. Values pass through
    the types of their columns. Columns that a statement does not name take their defaults where a row is new, and
    keep what they hold where it is not (but for `onupdate`). Those in `also` are set to what SQL makes of these.
    Rows are written in their order.
    """

    def insert(self, table: Table, columns: Columns, also: Also | None = None) -> RowWrite:
        """Insert rows; an IntegrityError if one of them is there already."""
        ...

    def upsert(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        """Insert rows; where the key exists, replace the others of `columns`, among which the key's are."""
        ...

    def update(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        """Set `columns` where the key exists. A row holds the key's values first, then theirs."""
        ...

    def delete(self, table: Table, key: Columns) -> RowWrite:
        """Delete the rows of these keys that exist."""
        ...


def row_statements(dialect: Dialect) -> RowStatements:
    """Those of a dialect."""
    many = ExecutedMany(dialect)
    return PostgresRows(dialect, many) if dialect.has_arrays else many


class ExecutedMany:
    """Statements of one row, executed for many: for drivers that do so without a round trip per row."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def insert(self, table: Table, columns: Columns, also: Also | None = None) -> RowWrite:
        return self._inserting(insert(table), columns, also)

    def upsert(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        also = also or {}
        replaced = [*columns, *(table.c[name] for name in also)]
        return self._inserting(self._dialect.upsert(table, key, replaced), columns, also)

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
