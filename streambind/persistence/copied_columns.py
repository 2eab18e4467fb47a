"""An empty table that has columns of another one."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Column, Connection, Table
from sqlalchemy.schema import CreateColumn, CreateTable


def create_beside(connection: Connection, table: Table, origin: Table) -> None:
    """Create `table`. Columns that `origin` has too get the types, lengths and collations that they have there in
    the database, whatever a service's code says of them: values are kept alike, and can be compared."""
    if connection.dialect.name == "sqlite":
        # It keeps values alike whatever the type, which CREATE TABLE AS would lose.
        connection.execute(CreateTable(table))
        return
    preparer = connection.dialect.identifier_preparer
    here, there = preparer.format_table(table), preparer.format_table(origin)

    def listed(columns: Iterable[Column[object]]) -> str:
        return ", ".join(preparer.quote(column.name) for column in columns)

    copied = f"SELECT {listed(column for column in table.c if column.name in origin.c)} FROM {there}"
    own = [str(CreateColumn(c).compile(dialect=connection.dialect)) for c in table.c if c.name not in origin.c]
    key = f"PRIMARY KEY ({listed(table.primary_key)})"
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"CREATE TABLE {here} AS {copied} WITH NO DATA")
        connection.exec_driver_sql(f"ALTER TABLE {here} {', '.join(f'ADD {each}' for each in (*own, key))}")
    else:
        connection.exec_driver_sql(f"CREATE TABLE {here} ({', '.join((*own, key))}) {copied} LIMIT 0")
