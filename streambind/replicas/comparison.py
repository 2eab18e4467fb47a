"""Two tables held against each other by their keys, in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from streambind.inbound.replica_plan import default_of, undeleted
from streambind.persistence.dialect import Dialect
from streambind.replicas.replica import Replica

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """How many rows differ, and some of their keys. `missing`: expected, and not there; `extra`: there, and not
    expected; `wrong`: with other values. `idle`: how many of those found hold nothing of the replica's, being kept
    as deleted, or for the columns of others."""

    expected: int
    found: int
    missing: int
    extra: int
    wrong: int
    idle: int
    examples: dict[str, list[Key]]

    @property
    def is_none(self) -> bool:
        return not (self.missing or self.extra or self.wrong)


class Comparison:
    """The rows of a replica's table against expected ones in another table that has its columns."""

    def __init__(self, dialect: Dialect, replica: Replica, expected: Table) -> None:
        self._dialect = dialect
        self._plan = plan = replica.plan
        self._owns_all = replica.owns_all
        self._expected = expected
        self._found = plan.table
        self._mark = plan.cleared[0].name if plan.mark.soft_delete is not None else None

    def difference(self, connection: Connection, *, limit: int) -> Difference:
        # How many there are comes first: whoever swaps the tables sees by it whether rows have come since.
        expected, found = _count(connection, self._expected), _count(connection, self._found)
        kinds = {"missing": self.missing(), "extra": self.extra(), "wrong": self.wrong()}
        counts: dict[str, int] = {}
        examples: dict[str, list[Key]] = {}
        for kind, query in kinds.items():
            counts[kind] = int(connection.scalar(select(func.count()).select_from(query.subquery())) or 0)
            if counts[kind]:
                examples[kind] = [tuple(row) for row in connection.execute(query.limit(limit))]
        return Difference(expected, found, **counts, idle=self._idle(connection), examples=examples)

    def missing(self) -> Select[Any]:
        """The keys of expected rows that are not there."""
        return self._absent(self._expected, self._found)

    def extra(self) -> Select[Any]:
        """The keys of rows that nobody expects, nor keeps as deleted ones, or for others' sake."""
        query = self._absent(self._found, self._expected)
        held = self._held()
        return query if held is None else query.where(held)

    def wrong(self) -> Select[Any]:
        """The keys of rows whose values are not the expected ones."""
        return select(*self._keys(self._expected)).where(self._same(), self._differs())

    def _idle(self, connection: Connection) -> int:
        held = self._held()
        return 0 if held is None else _count(connection, self._found, ~held)

    def _absent(self, here: Table, there: Table) -> Select[Any]:
        is_there = select(literal(1)).select_from(there).where(self._same()).correlate(here)
        return select(*self._keys(here)).where(~is_there.exists())

    def _keys(self, table: Table) -> list[Column[Any]]:
        return [table.c[column.name] for column in self._plan.key]

    def _same(self) -> ColumnElement[bool]:
        pairs = zip(self._keys(self._expected), self._keys(self._found), strict=True)
        return and_(*(one == other for one, other in pairs))

    def _differs(self) -> ColumnElement[bool]:
        keys = {column.name for column in self._plan.key}
        rest = [column.name for column in self._plan.columns if column.name not in keys]
        pairs = (
            (self._comparable(self._expected.c[name]), self._comparable(self._found.c[name])) for name in rest
        )
        return or_(literal(value=False), *(one.is_distinct_from(other) for one, other in pairs))

    def _comparable(self, column: Column[Any]) -> ColumnElement[Any]:
        if column.name == self._mark:
            # When a row was deleted: a repair knows no more than the time of its own deed.
            return case((column.is_not_distinct_from(undeleted(column)), 0), else_=1)
        # PostgreSQL does not compare JSON, but its text.
        return self._dialect.exact(cast(column, Text) if isinstance(column.type, JSON) else column)

    def _held(self) -> ColumnElement[bool] | None:
        """That a row holds anything of the replica's; None: every row does."""
        plan = self._plan
        if self._mark is not None:
            mark = self._found.c[self._mark]
            return mark.is_not_distinct_from(undeleted(mark))
        keys = {column.name for column in plan.key}
        if self._owns_all:
            return None
        owned = [self._found.c[column.name] for column in plan.columns if column.name not in keys]
        return or_(literal(value=False), *(column.is_distinct_from(default_of(column)) for column in owned))


def _count(connection: Connection, table: Table, *of: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).select_from(table).where(*of)) or 0)
