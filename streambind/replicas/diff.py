"""A replica held against what its destination says, or its source."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from streambind.persistence.database import Database
from streambind.replicas.comparison import Comparison, Difference
from streambind.replicas.expected_rows import expected_table
from streambind.replicas.fold import Fold, Log
from streambind.replicas.fold_writer import Folded
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
    with expected_table(database, replica) as table:
        fold = Fold(database, replica, table, log, skip_unreadable=skip_unreadable)

        def compare(connection: Connection) -> Difference:
            return Comparison(database.dialect, replica, table).difference(connection, limit=limit)

        fold.catch_up(progress)
        return fold.meet(compare, progress), fold.folded
