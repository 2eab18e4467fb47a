"""What statements say that make an empty table with columns of another one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table
from sqlalchemy.schema import CreateColumn


@dataclass(frozen=True, slots=True)
class CopiedColumns:
    """`table`: the new table's name, quoted; `query`: of the columns that the other one has too; `definitions`: of
    those that only the new one has, and of its primary key."""

    table: str
    query: str
    definitions: tuple[str, ...]


def copied_columns(connection: Connection, table: Table, origin: Table) -> CopiedColumns:
    """Of `table`, which is to be made, and `origin`, which is there."""
    preparer = connection.dialect.identifier_preparer

    def listed(columns: Iterable[Column[object]]) -> str:
        return ", ".join(preparer.quote(column.name) for column in columns)

    shared = listed(column for column in table.c if column.name in origin.c)
    own = [str(CreateColumn(c).compile(dialect=connection.dialect)) for c in table.c if c.name not in origin.c]
    return CopiedColumns(
        preparer.format_table(table),
        f"SELECT {shared} FROM {preparer.format_table(origin)}",
        (*own, f"PRIMARY KEY ({listed(table.primary_key)})"),
    )
