"""How far a replica's group is, and that it goes no further."""

from __future__ import annotations

from sqlalchemy import Connection, select

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
