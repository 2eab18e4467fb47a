"""A replica mended: rows that differ are sent again by their source, rows that it does not have are deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, update
from sqlalchemy.orm import Session

from streambind.errors import LifecycleError
from streambind.persistence.database import Database
from streambind.replicas.comparison import Key
from streambind.replicas.expected_rows import ExpectedRows, expected_table
from streambind.replicas.group_goals import group_goals
from streambind.replicas.repair_doubts import doubts
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source, SourceRow
from streambind.replicas.source_diff import SourceDifference

_ROWS = 100


@dataclass(frozen=True, slots=True)
class Repaired:
    """`sent`: events that the source has written to its outbox; `removed`: rows deleted here."""

    sent: int
    removed: int


def repair(
    database: Database, replica: Replica, source: Source, found: SourceDifference, *, force: bool = False
) -> Repaired:
    """Mend what was found. The source's rows come through its outbox with the next number of their key, so that
    nothing that is committed meanwhile is overtaken. What is to be deleted is asked for once more.

    Raises:
        LifecycleError: `found` may be wrong, or more than should be deleted without `force`.
        SQLAlchemyError: a database is away; what was mended is.
    """
    for doubt in doubts(database, replica, source, found, force=force):
        raise LifecycleError(f"replica {replica.name} is not repaired: {doubt}")
    return Repaired(source.send(found.refs), _remove(database, replica, source, found) if found.extra else 0)


def _remove(database: Database, replica: Replica, source: Source, found: SourceDifference) -> int:
    """What a DELETE of the source would do; in sessions of the service, so that capture sees what is published."""
    chunk = _ROWS if found.are_keyed else len(found.extra)
    with expected_table(database, replica) as table:
        removal = _Removal(replica, source, ExpectedRows(database, replica, table), database)

        def remove(keys: Sequence[Key]) -> int:
            return database.run_session(lambda session, _: removal.run(session, keys, are_keyed=found.are_keyed))

        return sum(remove(found.extra[at : at + chunk]) for at in range(0, len(found.extra), chunk))


class _Removal:
    """Deletes rows that the source does not have. While it looks, the group stands still: a row that came back has
    either been delivered, and then the source has it, or will be delivered after this."""

    def __init__(self, replica: Replica, source: Source, expected: ExpectedRows, database: Database) -> None:
        self._replica = replica
        self._source = source
        self._expected = expected
        self._database = database

    def run(self, session: Session, keys: Sequence[Key], *, are_keyed: bool) -> int:
        """Delete those of the rows that the source still does not have; returns how many. Where the keys are the
        source's own it is asked for these only, else for all that it has."""
        connection = session.connection(bind_arguments={"mapper": self._replica.plan.mapper})
        self._database.bound(connection)
        self._expected.clear(connection)
        group_goals(connection, self._database, self._replica, lock=True)
        for rows in self._asked(keys) if are_keyed else self._source.walk():
            self._expected.put(connection, self._expected.read(rows).values())
        if self._expected.unreadable:
            raise LifecycleError(f"replica {self._replica.name}: a row has come that it cannot read: look again")
        return sum(self._removed(session, key) for key in self._absent(connection, keys, are_keyed=are_keyed))

    def _asked(self, keys: Sequence[Key]) -> Iterator[list[SourceRow]]:
        yield self._source.rows([ref for key in keys for ref in self._source.refs(key)])

    def _absent(self, connection: Connection, keys: Sequence[Key], *, are_keyed: bool) -> list[Key]:
        query = self._expected.comparison.extra()
        if are_keyed:
            query = query.where(or_(*(self._is(key) for key in keys)))
        absent = {tuple(row) for row in connection.execute(query)}
        return [key for key in keys if key in absent]

    def _removed(self, session: Session, key: Key) -> int:
        plan = self._replica.plan
        if plan.cleared:
            values = dict(zip(plan.cleared_attributes, plan.cleared_at(time.time_ns() // 1_000_000), strict=False))
            statement = update(plan.mark.declared_on).where(self._is(key)).values(values)
        else:
            statement = delete(plan.mark.declared_on).where(self._is(key))  # type: ignore[assignment]
        result = session.execute(statement, execution_options={"synchronize_session": False})
        return int(result.rowcount)  # type: ignore[attr-defined]

    def _is(self, key: Key) -> ColumnElement[bool]:
        return and_(*(column == value for column, value in zip(self._replica.plan.key, key, strict=True)))
