"""A replica's events applied to its table: many in few statements, without a session's objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from streambind.failpoints import failpoint
from streambind.inbound.arrival import Arrival
from streambind.inbound.handler_session import session_of
from streambind.inbound.replica_events import ReplicaEvents
from streambind.inbound.replica_plan import ReplicaPlan, Row
from streambind.persistence.row_statements import RowStatements


class ReplicaRows:
    """The replica of a class whose changes nobody else is to be told of.

    Of what several messages say of a row, the last one counts. Where a delete removes rows, it takes along what
    other sources had in them, before the row comes back; where rows stay, it finds what came before it.
    """

    def __init__(self, plan: ReplicaPlan, events: ReplicaEvents, statements: RowStatements) -> None:
        self._events = events
        self._keeps_rows = bool(plan.cleared)
        self._cleared_at = plan.cleared_at
        self._upsert = statements.upsert(plan.table, plan.key, plan.columns)
        if self._keeps_rows:
            self._remove = statements.update(plan.table, plan.key, plan.cleared)
        else:
            self._remove = statements.delete(plan.table, plan.key)

    def apply(self, arrivals: Sequence[Arrival]) -> None:
        """Write what the messages, at least one, say.

        Raises:
            MessageFailed: one of them cannot be read.
            Exception: whatever the database says.
        """
        upserted: dict[Row, Row] = {}
        removed: dict[Row, int] = {}
        for arrival, (key, row) in zip(arrivals, self._events.read_all(arrivals), strict=True):
            if row is None:
                removed[key] = arrival.batch.timestamp_ms(arrival.index)
                if not self._keeps_rows:
                    upserted.pop(key, None)
            else:
                upserted[key] = row
                if self._keeps_rows:
                    removed.pop(key, None)
        connection = session_of(arrivals[0].session).connection()
        if not self._keeps_rows:
            self._write_removed(connection, removed)
        if upserted:
            self._upsert(connection, _in_order(upserted.values()))
            failpoint("replica.after_upsert")
        if self._keeps_rows:
            self._write_removed(connection, removed)

    def _write_removed(self, connection: Connection, removed: Mapping[Row, int]) -> None:
        if removed:
            self._remove(connection, _in_order((*key, *self._cleared_at(at)) for key, at in removed.items()))
            failpoint("replica.after_delete")


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """In the order of the keys, so that two owners who write the same rows cannot deadlock."""
    found = list(rows)
    try:
        return sorted(found)
    except (TypeError, ArithmeticError):
        return found  # Values without an order: a deadlock is the database's to end, and then it is tried again.
