"""How far a replica's group is, that it goes no further, and whether it has been further before."""

from __future__ import annotations

from sqlalchemy import Connection, and_, case, func, literal, or_, select

from streambind.binding.binder import Lane
from streambind.errors import LifecycleError
from streambind.persistence.database import Database
from streambind.replicas.replica import Replica


def group_goals(connection: Connection, database: Database, replica: Replica, *, lock: bool) -> dict[Lane, int]:
    """Where the replica's group is in its destinations. With `lock` it stands still until the transaction ends.

    Raises:
        LifecycleError: it has no position.
    """
    columns = database.tables.position.c
    query = (
        select(columns.destination, columns.partition, columns.next_offset)
        .where(columns.group_name == replica.group, columns.destination.in_(replica.destinations))
        .order_by(columns.destination, columns.partition)
    )
    rows = connection.execute(database.dialect.locked(query) if lock else query)
    goals = {Lane(row.destination, row.partition): row.next_offset for row in rows}
    if not goals:
        raise LifecycleError(
            f"group {replica.group} has no position in the database: nothing of the replica is there yet"
        )
    return goals


def applied_more(
    connection: Connection, database: Database, replica: Replica, fold_group: str, *, is_whole: bool
) -> bool:
    """Whether the group has applied numbered events that a fold of its destinations has not, though that is where
    the group is: its position was moved back, and it will pass them over. `is_whole`: the log holds all that the
    group has seen, so that a key which the fold does not know is one of these too."""
    guard, position = database.tables.guard, database.tables.position.c
    mine, folded = guard.alias().c, guard.alias().c
    if is_whole:
        cut = or_(position.start_offset > 0, position.skipped_ms.is_not(None), position.is_compacted.is_not(False))
        began = select(position.partition).where(
            position.group_name == replica.group, position.destination.in_(replica.destinations), cut
        )
        is_whole = connection.execute(began.limit(1)).first() is None
    is_behind = or_(folded.epoch < mine.epoch, and_(folded.epoch == mine.epoch, folded.seq < mine.seq))
    # A question for each key, not a join: without statistics, as of a new table, databases join at any price.
    in_fold = select(case((is_behind, 1), else_=0)).where(
        folded.group_name == fold_group,
        *(folded[name] == mine[name] for name in ("destination", "source_id", "key")),
    )
    query = select(literal(1)).where(
        mine.group_name == replica.group,
        mine.destination.in_(replica.destinations),
        func.coalesce(in_fold.scalar_subquery(), 1 if is_whole else 0) == 1,
    )
    return connection.execute(query.limit(1)).first() is not None
