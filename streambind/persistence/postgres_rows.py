"""Many rows in one PostgreSQL statement: a column of values is one array, so that driver and server see one text
for any number of rows, and prepare it once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Column, Connection, Table, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine, UserDefinedType

from streambind.persistence.dialect import Dialect

if TYPE_CHECKING:
    from streambind.persistence.row_statements import Columns, RowStatements, RowWrite

_POSTGRESQL: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
_TEXTS = ("VARCHAR", "CHAR", "TEXT")
_LENGTH = re.compile(r"\(.*?\)")


class PostgresRows:
    """`RowStatements`. Where a column's values cannot be an array's elements, `otherwise` writes them."""

    def __init__(self, dialect: Dialect, otherwise: RowStatements) -> None:
        self._dialect = dialect
        self._otherwise = otherwise

    def upsert(self, table: Table, key: Columns, columns: Columns) -> RowWrite:
        # Of a statement that inserts many rows, a default that is a function would be called once.
        made = [c for c in table.c if c not in columns and _default(c) is not None]
        named = [*columns, *made]
        if not _fit(named):
            return self._otherwise.upsert(table, key, columns)
        rows = _Rows(named)
        statement = self._dialect.upsert(table, key, columns).from_select([c.key for c in named], rows.query)
        return rows.writing(statement, made=[_default(column) for column in made])

    def update(self, table: Table, key: Columns, columns: Columns) -> RowWrite:
        if not _fit([*key, *columns]):
            return self._otherwise.update(table, key, columns)
        rows = _Rows([*key, *columns])
        found, new = rows.columns[: len(key)], rows.columns[len(key) :]
        values = dict(zip((c.key for c in columns), new, strict=True))
        is_row = (own == given for own, given in zip(key, found, strict=True))
        return rows.writing(update(table).where(*is_row).values(values))

    def delete(self, table: Table, key: Columns) -> RowWrite:
        if not _fit(key):
            return self._otherwise.delete(table, key)
        rows = _Rows(key)
        return rows.writing(delete(table).where(tuple_(*key).in_(rows.query)))


class _Rows:
    """Arrays, one for each column, as a table of rows."""

    def __init__(self, columns: Columns) -> None:
        self._names = [f"given_{number}" for number in range(len(columns))]
        arrays = [
            bindparam(name, type_=ARRAY(_Element(column.type), dimensions=1))
            for name, column in zip(self._names, columns, strict=True)
        ]
        given = func.unnest(*arrays).table_valued(*self._names).render_derived(name="given")
        self.columns = [given.c[name] for name in self._names]
        self.query = select(*self.columns)

    def writing(self, statement: Any, *, made: Sequence[Any] = ()) -> RowWrite:
        names = self._names

        def write(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
            arrays = [*zip(*rows, strict=True), *([make(None) for _ in rows] for make in made)]
            connection.execute(statement, dict(zip(names, map(list, arrays), strict=True)))

        return write


class _Element(UserDefinedType[Any]):
    """A column's type as that of an array's elements. Without a length: a cast to one would cut silently what an
    INSERT refuses."""

    cache_ok = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        self.of = of

    def get_col_spec(self, **_: Any) -> str:
        written = _written(self.of)
        if written.startswith(_TEXTS):
            return "TEXT"
        is_named = isinstance(self.of.dialect_impl(_POSTGRESQL), postgresql.named_types.NamedType)
        return written if is_named else _LENGTH.sub("", written)

    def bind_processor(self, dialect: Any) -> Any:
        return self.of.dialect_impl(dialect).bind_processor(dialect)


def _fit(columns: Columns) -> bool:
    """Whether the values of all of these can be elements: no arrays, no bits, nothing wrapped in SQL."""
    return not any(
        _written(column.type).endswith("]")
        or _written(column.type).startswith("BIT")
        or column.type.bind_expression(bindparam("value", type_=column.type)) is not None
        for column in columns
    )


def _written(of: TypeEngine[Any]) -> str:
    return str(_POSTGRESQL.type_compiler_instance.process(of))


def _default(column: Column[Any]) -> Callable[[Any], Any] | None:
    """The function that makes the column's default."""
    default: Any = column.default
    return default.arg if default is not None and default.is_callable else None
