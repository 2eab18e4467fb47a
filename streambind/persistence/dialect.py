"""What differs between databases: their clock, and how a row is inserted that may exist.

The seam for further databases: one `Dialect` each, found by SQLAlchemy's dialect name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, bindparam, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from streambind.errors import ConfigurationError

Row = Mapping[str, Any]

_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

_CLOCKS: dict[str, ColumnElement[int]] = {
    # clock_timestamp(), not now(): now() stands still for the length of a transaction.
    "postgresql": literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"),
    "sqlite": literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"),
}


MAX_LOCK_WAIT_MS = 30_000
"""After which whoever waits for a lock says so, and tries again."""

_LIMIT_WAITS = """
SELECT set_config('idle_in_transaction_session_timeout', '{idle_ms}', true),
    set_config('lock_timeout', CASE WHEN allowed_ms > 0 THEN least({lock_ms}, ceil(allowed_ms * 0.8))::int::text
        ELSE '{lock_ms}' END, true)
FROM (SELECT extract(epoch FROM current_setting('statement_timeout')::interval) * 1000 AS allowed_ms) AS statements
"""

_PARAMETERS = 30_000
"""Values per statement: SQLite takes 32 766, PostgreSQL's protocol 65 535."""


def _chunks(table: Table, rows: Sequence[Row]) -> Iterator[list[Row]]:
    size = _PARAMETERS // len(table.c)
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


@dataclass(frozen=True, slots=True)
class Dialect:
    """The statements of one kind of database."""

    name: str
    now_ms: ColumnElement[int]

    @property
    def row_locks(self) -> bool:
        """Whether `FOR UPDATE` exists. SQLite locks the whole database with BEGIN IMMEDIATE instead."""
        return self.name != "sqlite"

    def locked(self, query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
        """The query, its rows locked until the transaction ends, or left out where others hold them."""
        return query.with_for_update(skip_locked=skip_locked) if self.row_locks else query

    def set_local(self, connection: Connection, settings: Mapping[str, object]) -> None:
        """On PostgreSQL, set these for the rest of the transaction, in one statement; else nothing."""
        if self.name == "postgresql":
            calls = (f"set_config('{name}', '{value}', true)" for name, value in settings.items())
            connection.exec_driver_sql(f"SELECT {', '.join(calls)}")

    def limit_waits(self, connection: Connection, timeout_ms: int) -> None:
        """Let PostgreSQL end the transaction if the process stands still in it for so long, and let none of its
        statements wait longer for a lock, at most 30 s; and shorter than a statement may take, so that a lock that
        others hold is not mistaken for a statement that is too slow."""
        if self.name == "postgresql":
            statement = _LIMIT_WAITS.format(idle_ms=timeout_ms, lock_ms=min(timeout_ms, MAX_LOCK_WAIT_MS))
            connection.exec_driver_sql(statement)

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[Any]:
        """Insert the rows whose primary key is not there yet; returns the rows inserted, whole."""
        inserted: list[Any] = []
        for chunk in _chunks(table, rows):
            statement = _INSERTS[self.name](table).values(chunk).on_conflict_do_nothing()
            inserted.extend(connection.execute(statement.returning(*table.c)))
        return inserted

    def add(self, connection: Connection, table: Table, rows: Sequence[Row], column: str) -> list[Any]:
        """Insert the rows; where the primary key exists, add the new row's `column` to the stored one, and take
        over its other columns. Returns the rows as they are stored now, locked until the transaction ends. Rows
        must be sorted by primary key: then two transactions cannot deadlock."""
        statement = _INSERTS[self.name](table)
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={
                each.name: table.c[column] + statement.excluded[column]
                if each.name == column
                else statement.excluded[each.name]
                for each in table.c
                if not each.primary_key
            },
        )
        # Many rows of one statement: written out as VALUES, each number of rows would be compiled anew.
        return list(connection.execute(statement.returning(*table.c), list(rows)))

    def upsert(self, table: Table, key: Sequence[Column[Any]], columns: Sequence[Column[Any]]) -> Any:
        """An INSERT that replaces `columns` of the row with the same `key`, which is unique, if there is one; what
        else there is in that row stays, unless its column is one that changes with every update (`onupdate`)."""
        statement = _INSERTS[self.name](table)
        replaced = {each.key: statement.excluded[each.key] for each in columns if each not in key}
        touched = {each.key: _touched(each) for each in table.c if each.onupdate is not None}
        if not replaced:
            return statement.on_conflict_do_nothing(index_elements=list(key))
        return statement.on_conflict_do_update(index_elements=list(key), set_=touched | replaced)


def _touched(column: Column[Any]) -> Any:
    """What an update sets a column to that no statement names."""
    change: Any = column.onupdate
    if change.is_callable:
        return bindparam(f"touched_{column.key}", callable_=lambda: change.arg(None), type_=column.type)
    return change.arg


def dialect_of(connectable_name: str) -> Dialect:
    """The dialect for SQLAlchemy's dialect name.

    Raises:
        ConfigurationError: streambind does not know the database.
    """
    clock = _CLOCKS.get(connectable_name)
    if clock is None:
        known = " and ".join(sorted(_CLOCKS))
        raise ConfigurationError(f"streambind keeps its tables in {known}, not yet in {connectable_name}")
    return Dialect(connectable_name, clock)
