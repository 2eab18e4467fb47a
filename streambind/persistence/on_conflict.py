"""INSERT ... ON CONFLICT ... RETURNING, as PostgreSQL and SQLite have it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table

from streambind.persistence.dialect import Dialect, Row, chunks, primary_key_of, touched


class OnConflictDialect(Dialect):
    """A database where INSERT itself says what becomes of rows that exist, and returns rows."""

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """The database's own INSERT."""

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[Row]:
        inserted: list[Row] = []
        for chunk in chunks(table, rows):
            statement = self.insert(table).values(chunk).on_conflict_do_nothing()
            keys = {tuple(key) for key in connection.execute(statement.returning(*table.primary_key))}
            inserted.extend(row for row in chunk if primary_key_of(table, row) in keys)
        return inserted

    def add(self, connection: Connection, table: Table, rows: Sequence[Row], column: str) -> list[Any]:
        statement = self.insert(table)
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
        statement = self.insert(table)
        replaced = {each.key: statement.excluded[each.key] for each in columns if each not in key}
        if not replaced:
            return statement.on_conflict_do_nothing(index_elements=list(key))
        return statement.on_conflict_do_update(index_elements=list(key), set_=touched(table) | replaced)
