"""Many rows of a table written by one statement: what a replica asks of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, Table

Columns = Sequence[Column[Any]]
Also = Mapping[str, ColumnElement[Any]]

RowWrite = Callable[[Connection, Sequence[Sequence[Any]]], None]
"""Writes rows, at least one: each a value per column, as the service's code has it (before SQLAlchemy's types have
made it the driver's). No two of them have the same key."""

Upsert = Callable[[Table, Columns, Columns], Any]
"""A dialect's `upsert` of one row: of the table, its key and its columns."""


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
