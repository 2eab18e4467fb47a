"""A replica's events applied to its table: many in few statements, without a session's objects."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.failpoints import failpoint
from streambind.inbound.arrival import Arrival
from streambind.inbound.handler_session import session_of
from streambind.inbound.replica_events import ReplicaEvents, Said
from streambind.inbound.replica_plan import ReplicaPlan, Row
from streambind.message import Batch
from streambind.persistence.row_statements import RowStatements
from streambind.read_ahead import READ_AT_ONCE, found_ahead


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
        words = LastWords(keeps_rows=self._keeps_rows)
        indexes = [arrival.index for arrival in arrivals]
        words.hear(arrivals[0].batch, indexes, self._events.read_all(arrivals))
        self._write(arrivals[0].session, words)

    def apply_alone(self, batch: Batch, indexes: Sequence[int], session: Session | AsyncSession) -> None:
        """As `apply`, for messages that no other listener gets."""
        words = found_ahead(batch, self) if len(indexes) == len(batch) else None
        if words is None:
            words = self._quickly(batch, indexes)
        if words is None:
            self.apply([Arrival(batch, index, session, limits=self._events.limits) for index in indexes])
        else:
            self._write(session, words)

    def read_ahead(self, batch: Batch) -> Generator[None, None, LastWords | None]:
        return self._read(batch, range(len(batch)))

    def _quickly(self, batch: Batch, indexes: Sequence[int]) -> LastWords | None:
        reading = self._read(batch, indexes)
        try:
            while True:
                next(reading)
        except StopIteration as read:
            return cast("LastWords | None", read.value)
        except Exception:  # noqa: BLE001 -- reading has no effects: doing it again tells whose the failure is.
            return None

    def _read(self, batch: Batch, indexes: Sequence[int]) -> Generator[None, None, LastWords | None]:
        """What the messages say, if all of them can be read quickly. Few at a time: what is made of them for a
        moment stays near the processor, and few enough for the garbage collector not to look."""
        words = LastWords(keeps_rows=self._keeps_rows)
        for start in range(0, len(indexes), READ_AT_ONCE):
            some = indexes[start : start + READ_AT_ONCE]
            said = self._events.read_quickly(batch, some)
            if said is None:
                return None
            words.hear(batch, some, said)
            yield
        return words

    def _write(self, session: Session | AsyncSession, words: LastWords) -> None:
        upserted, removed = words.upserted, words.removed
        connection = session_of(session).connection()
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


class LastWords:
    """What is last said of each row: as it is to be written, or when it was removed."""

    def __init__(self, *, keeps_rows: bool) -> None:
        self._keeps_rows = keeps_rows
        self.upserted: dict[Row, Row] = {}
        self.removed: dict[Row, int] = {}

    def hear(self, batch: Batch, indexes: Sequence[int], said: Sequence[Said]) -> None:
        """What these messages say counts from now on."""
        upserted, removed = self.upserted, self.removed
        for index, (key, row) in zip(indexes, said, strict=True):
            if row is None:
                removed[key] = batch.timestamp_ms(index)
                if not self._keeps_rows:
                    upserted.pop(key, None)
            else:
                upserted[key] = row
                if self._keeps_rows:
                    removed.pop(key, None)


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """In the order of the keys, so that two owners who write the same rows cannot deadlock."""
    found = list(rows)
    try:
        return sorted(found)
    except (TypeError, ArithmeticError):
        return found  # Values without an order: a deadlock is the database's to end, and then it is tried again.
