"""Rows that a statement returned, as detached entities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import eq
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, FromClause, Table, and_, false, or_, select
from sqlalchemy.orm import Mapper

from streambind.errors import UncapturedChangeError
from streambind.outbound.before import detached
from streambind.outbound.plans import primary_key_names, stored_names
from streambind.outbound.publication import publications_of
from streambind.persistence.dialects import dialect_of

_PER_READ = 400


class BulkRows:
    """Makes entities from the columns of the one table of published mappers: of one class, or of a hierarchy
    whose discriminator tells the class of a row. `target` is that table, or an alias of it.

    Raises:
        UncapturedChangeError: one table does not show the entities whole.
    """

    def __init__(self, mappers: Sequence[Mapper[Any]], target: FromClause, what: str) -> None:
        self._mapper = mappers[0]
        for mapper in mappers:
            table, discriminator = mapper.local_table, mapper.polymorphic_on
            told = discriminator is None or (isinstance(table, Table) and discriminator in set(table.c))
            if len(mapper.tables) > 1 or not isinstance(table, Table) or not told:
                raise UncapturedChangeError(
                    f"{what} on {table}: {mapper.class_.__name__}, which is published, lies in several tables or "
                    "its class is not told by a column, so that rows of one statement do not show it whole. Load "
                    "the objects and change them; or, if no event is meant, write "
                    "`with suppress_events(session):`"
                )
            self.table = table
        self._discriminator = self._mapper.polymorphic_on
        self._columns: list[ColumnElement[Any]] = list(self.table.c)
        # Through an alias, the statement knows the columns by the alias only.
        source = self.table if isinstance(target, Table) else target
        self._selected = [source.c[column.key] for column in self.table.c]
        self._names: dict[Mapper[Any], dict[str, Column[Any]]] = {}

    @property
    def labels(self) -> list[ColumnElement[Any]]:
        """The table's columns, as the statement knows them, under names that no caller uses."""
        return [column.label(f"streambind_{i}") for i, column in enumerate(self._selected)]

    def entity(self, row: Sequence[Any], without: Collection[str] = ()) -> tuple[Mapper[Any], Any] | None:
        """The entity of a row of `labels`; `without` names attributes to leave out. None for a row of a class
        that is not published."""
        values = dict(zip(self._columns, row, strict=True))
        mapper = self._mapper_of(values)
        if not publications_of(mapper.class_):
            return None
        named = self._named(mapper).items()
        return mapper, detached(mapper, {name: values[column] for name, column in named if name not in without})

    def names(self, keys: Collection[Any]) -> set[str]:
        """The attributes that a statement assigns to by columns, or by names of columns or of attributes."""
        texts = {key if isinstance(key, str) else getattr(key, "key", None) for key in keys}
        every = [pair for m in self._mapper.base_mapper.self_and_descendants for pair in self._named(m).items()]
        return {name for name, column in every if texts & {name, column.key, column.name}}

    def keys(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The primary keys of rows."""
        place = {column: i for i, column in enumerate(self._columns)}
        places = [place[column] for column in self._mapper.primary_key]
        return [tuple(row[i] for i in places) for row in rows]

    def with_keys(self, target: Any, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
        """The rows of these primary keys; `target` is the class, the alias of one, or the table of a statement."""
        if isinstance(target, FromClause):
            return _among([target.c[column.key] for column in self._mapper.primary_key], keys)
        return _among([getattr(target, name) for name in primary_key_names(self._mapper)], keys)

    def read(self, connection: Connection, keys: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows of these primary keys, which this transaction has locked, as they are now."""
        wanted = list(dict.fromkeys(keys))
        rows: list[tuple[Any, ...]] = []
        dialect = dialect_of(connection.dialect.name)
        for start in range(0, len(wanted), _PER_READ):
            chosen = _among(self._mapper.primary_key, wanted[start : start + _PER_READ])
            query = dialect.latest(select(*self._columns).where(chosen))
            rows.extend(tuple(row) for row in connection.execute(query))
        return rows

    def _mapper_of(self, values: Mapping[Any, Any]) -> Mapper[Any]:
        if self._discriminator is None:
            return self._mapper
        base = self._mapper.base_mapper
        found: Mapper[Any] = base.polymorphic_map.get(values[self._discriminator], base)
        return found

    def _named(self, mapper: Mapper[Any]) -> dict[str, Column[Any]]:
        known = self._names.get(mapper)
        if known is None:
            known = {name: mapper.attrs[name].columns[0] for name in stored_names(mapper)}
            self._names[mapper] = known
        return known


def _among(columns: Sequence[ColumnElement[Any]], keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0].in_([key for (key,) in keys])
    # Not IN of tuples: SQLAlchemy cannot evaluate that for the objects in the session.
    return or_(false(), *(and_(*map(eq, columns, key)) for key in keys))
