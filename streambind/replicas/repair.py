"""A replica mended: rows that differ are sent again by their source, rows that it does not have are deleted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, update
from sqlalchemy.orm import Session

from streambind.persistence.database import Database
from streambind.replicas.comparison import Key
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source
from streambind.replicas.source_diff import SourceDifference

_ROWS = 100


@dataclass(frozen=True, slots=True)
class Repaired:
    """`sent`: events that the source has written to its outbox; `removed`: rows deleted here."""

    sent: int
    removed: int


def repair(database: Database, replica: Replica, source: Source, found: SourceDifference) -> Repaired:
    """Mend what was found. The source's rows come through its outbox with the next number of their key, so that
    nothing that is committed meanwhile is overtaken.

    Raises:
        SQLAlchemyError: a database is away; what was mended is.
    """
    return Repaired(source.send(found.refs), _remove(database, replica, found.extra))


def _remove(database: Database, replica: Replica, keys: Sequence[Key]) -> int:
    """What a DELETE of the source would do; in sessions of the service, so that capture sees what is published."""

    def work(some: Sequence[Key]) -> int:
        return database.run_session(lambda session, _: _removed(session, replica, some))

    return sum(work(keys[start : start + _ROWS]) for start in range(0, len(keys), _ROWS))


def _removed(session: Session, replica: Replica, keys: Sequence[Key]) -> int:
    plan = replica.plan
    count = 0
    for key in keys:
        is_row = and_(*(column == value for column, value in zip(plan.key, key, strict=True)))
        if plan.cleared:
            values = dict(zip(plan.cleared_attributes, plan.cleared_at(time.time_ns() // 1_000_000), strict=False))
            statement = update(plan.mark.declared_on).where(is_row).values(values)
        else:
            statement = delete(plan.mark.declared_on).where(is_row)  # type: ignore[assignment]
        result = session.execute(statement, execution_options={"synchronize_session": False})
        count += int(result.rowcount)  # type: ignore[attr-defined]
    return count
