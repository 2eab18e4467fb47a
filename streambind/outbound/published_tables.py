"""The tables behind an application's published classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, class_mapper

from streambind.outbound.database_cascades import deleting_constraints
from streambind.outbound.plans import Plans
from streambind.outbound.publication import publications_of


class PublishedTables:
    """Which published mappers write to a table. Configures the mappers; classes mapped below them later share
    the tables known here or are not known to it."""

    def __init__(self, plans: Plans) -> None:
        self._mappers: dict[Table, list[Mapper[Any]]] = {}
        for mapper in published_mappers(plans):
            for table in mapper.tables:
                if isinstance(table, Table):
                    self._mappers.setdefault(table, []).append(mapper)
        self._emptying = {
            constraint.referred_table: mapper
            for mapper in published_mappers(plans)
            for constraint in deleting_constraints([t for t in mapper.tables if isinstance(t, Table)])
        }
        self._bases = {mapper.base_mapper for mappers in self._mappers.values() for mapper in mappers}

    def __iter__(self) -> Iterator[Table]:
        """All tables that a statement may not simply write to, or delete from."""
        return iter(dict.fromkeys([*self._mappers, *self._emptying]))

    def goes_with(self, table: Table) -> Mapper[Any] | None:
        """A published mapper whose rows the database deletes with rows of a table."""
        return self._emptying.get(table)

    def mappers(self, table: object) -> list[Mapper[Any]]:
        """The published mappers of what a statement writes to, aliases seen through; none for other tables."""
        while not isinstance(table, Table):
            table = getattr(table, "element", None)
            if table is None:
                return []
        return self._mappers.get(table, [])

    def is_of_unit_of_work(self, cache: object) -> bool:
        """Whether this cache of compiled statements is one that flushes of the published classes execute with: it
        tells a flush's own statement from one that a hook sends in the middle of it. A mapper gets a new cache
        whenever a property is added to it, as a backref of a class that is mapped later does."""
        caches = (getattr(base, "_compiled_cache", None) for base in self._bases)
        return any(known is None or known is cache for known in caches)


def published_mappers(plans: Plans) -> list[Mapper[Any]]:
    """The mappers of the published classes and of all classes below them, once each."""
    found = {m: None for cls in plans.classes for m in class_mapper(cls).self_and_descendants}
    return [mapper for mapper in found if publications_of(mapper.class_)]
