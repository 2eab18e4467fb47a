"""A replica held against what its destination says, or its source."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.schema import CreateTable, DropTable

from streambind.persistence.database import Database
from streambind.replicas.comparison import Comparison, Difference
from streambind.replicas.fold import Fold, Folded, Log
from streambind.replicas.replica import Replica


def topic_difference(
    database: Database,
    replica: Replica,
    log: Log,
    *,
    skip_unreadable: bool,
    limit: int,
    progress: Callable[[int, int], None],
) -> tuple[Difference, Folded]:
    """The replica against its destinations' events, folded exactly as far as its group is. Exact, whatever goes
    on: the group stands still while the tables are compared.

    Raises:
        LifecycleError: the log cannot be folded.
    """
    stage = replica.stage()
    fold = Fold(database, replica, stage, log, skip_unreadable=skip_unreadable)

    def begin(connection: Connection) -> None:
        fold.forget(connection)
        connection.execute(DropTable(stage, if_exists=True))
        connection.execute(CreateTable(stage))

    def compare(connection: Connection) -> Difference:
        with fold.meeting(connection):
            return Comparison(replica, stage).difference(connection, limit=limit)

    def end(connection: Connection) -> None:
        fold.forget(connection)
        connection.execute(DropTable(stage, if_exists=True))

    database.run(begin)
    try:
        fold.catch_up(progress)
        return database.run(compare), fold.folded
    finally:
        database.run(end)
