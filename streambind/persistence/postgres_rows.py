"""Many rows in one PostgreSQL statement: a column of values is one parameter, so that driver and server see one
text for any number of rows, and prepare it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from streambind.persistence.postgres_columns import array_of, fits
from streambind.persistence.row_statements import Also, Columns, RowStatements, RowWrite, Upsert


class PostgresRows:
    """`RowStatements`. Where a column's values cannot be an array's elements, `otherwise` writes them."""

    def __init__(self, upsert: Upsert, otherwise: RowStatements) -> None:
        self._upsert = upsert
        self._otherwise = otherwise

    def insert(self, table: Table, columns: Columns, also: Also | None = None) -> RowWrite:
        if not all(map(fits, columns)):
            return self._otherwise.insert(table, columns, also)
        return _inserting(insert(table), table, columns, also or {})

    def upsert(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        if not all(map(fits, columns)):
            return self._otherwise.upsert(table, key, columns, also)
        also = also or {}
        statement = self._upsert(table, key, [*columns, *(table.c[name] for name in also)])
        return _inserting(statement, table, columns, also)

    def update(self, table: Table, key: Columns, columns: Columns, also: Also | None = None) -> RowWrite:
        if not all(map(fits, [*key, *columns])):
            return self._otherwise.update(table, key, columns, also)
        rows = _Rows([*key, *columns])
        found, new = rows.columns[: len(key)], rows.columns[len(key) :]
        values = dict(zip((c.key for c in columns), new, strict=True))
        is_row = (own == given for own, given in zip(key, found, strict=True))
        return rows.writing(update(table).where(*is_row).values(values | dict(also or {})))

    def delete(self, table: Table, key: Columns) -> RowWrite:
        if not all(map(fits, key)):
            return self._otherwise.delete(table, key)
        rows = _Rows(key)
        return rows.writing(delete(table).where(tuple_(*key).in_(rows.query)))


class _Rows:
    """Arrays, one for each column, as a table of rows."""

    def __init__(self, columns: Columns) -> None:
        self._names = [f"given_{number}" for number in range(len(columns))]
        arrays = [
            bindparam(name, type_=array_of(column.type)) for name, column in zip(self._names, columns, strict=True)
        ]
        given = func.unnest(*arrays).table_valued(*self._names).render_derived(name="given")
        self.columns = [given.c[name] for name in self._names]
        self.query = select(*self.columns)

    def writing(self, statement: Any, *, made: Sequence[Any] = ()) -> RowWrite:
        """The statement, given these rows; functions in `made` make what further columns begin with."""
        names = self._names

        def write(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
            arrays = [*zip(*rows, strict=True), *([make(None) for _ in rows] for make in made)]
            connection.execute(statement, dict(zip(names, arrays, strict=True)))

        return write


def _inserting(statement: Any, table: Table, columns: Columns, also: Mapping[str, ColumnElement[Any]]) -> RowWrite:
    # Of a statement that inserts many rows, a default that is a function would be called once.
    made = [c for c in table.c if c not in columns and c.key not in also and _maker(c) is not None]
    named = [*columns, *made]
    rows = _Rows(named)
    query = rows.query.add_columns(*also.values())
    inserted = statement.from_select([*(column.key for column in named), *also], query)
    return rows.writing(inserted, made=[_maker(column) for column in made])


def _maker(column: Column[Any]) -> Any:
    """The function that makes the column's default."""
    default: Any = column.default
    return default.arg if default is not None and default.is_callable else None
