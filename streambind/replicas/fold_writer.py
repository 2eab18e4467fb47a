"""Messages put into the table of a fold: together where they can be, one by one where one of them cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table
from sqlalchemy.orm import Session

from streambind.binding.binder import Lane
from streambind.errors import LifecycleError, SequenceGapError
from streambind.inbound.arrival import Arrival
from streambind.inbound.failure import MessageFailed
from streambind.inbound.guard import SequenceGuard
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.reasons import told
from streambind.joint_batch import place_of
from streambind.message import Message
from streambind.persistence.database import Database
from streambind.replicas.group_record import GroupRecord
from streambind.replicas.messages import MessageBatch
from streambind.replicas.refused_rows import is_for_its_values
from streambind.replicas.replica import Replica, onto


@dataclass(slots=True)
class Folded:
    """`messages`: how many were read; `unreadable`: how many of them were left out, as they cannot be read, or the
    database refuses them; `blocked`: which message waited last for one of another partition, and why."""

    messages: int = 0
    unreadable: int = 0
    blocked: str | None = None


class _Refused(Exception):
    """The database refuses what messages say: all of them, or some of them together."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class FoldWriter:
    """Writes to `table` what a replica's messages say, guarded as deliveries to the fold's own `group`.
    `skip_unreadable`: leave out what the replica cannot read, or the database refuses; else that is an error."""

    def __init__(
        self,
        database: Database,
        replica: Replica,
        table: Table,
        group: str,
        *,
        skip_unreadable: bool,
    ) -> None:
        self._limits = replica.limits
        self._positions = DatabasePositions(database, group)
        self._skip_unreadable = skip_unreadable
        self._guard = SequenceGuard(database, group) if replica.trusts else None
        self._record = GroupRecord(database, replica)
        self._reader = replica.reader()
        self._rows = self._reader.writer(onto(replica.plan, table), database)
        self.folded = Folded()

    def write_successor(self, connection: Connection, message: Message, at: int) -> int | None:
        """Write a message; if its predecessor is missing, do what the replica's group has done: write it all the
        same, or leave it out. Returns the offset behind it; None if it is parked there.

        Raises:
            LifecycleError: it cannot be applied, and shall not be left out.
        """
        batch = MessageBatch([message], position=at, next_offset=(message.offset or 0) + 1)
        if (to := self.write(connection, [message], at)) is not None:
            return to
        if self._record.is_waiting(connection, batch, 0):
            return None
        if self._guard is not None and self._record.has_passed(connection, batch, 0):
            self._guard.accept_gap(connection, batch, 0)
            return self.write(connection, [message], at)
        self.folded.messages += 1
        return batch.next_offset

    def write(self, connection: Connection, messages: Sequence[Message], at: int) -> int | None:
        """Write the next messages of a partition that is at this offset: as many of them as can be written
        together, at least one. Returns the offset behind them; None, with nothing written, if the first must wait
        for a message of another partition.

        Raises:
            LifecycleError: it cannot be applied, and shall not be left out.
        """
        while True:
            last = (messages[-1].offset or 0) + 1
            batch = MessageBatch(messages, position=at, next_offset=last)
            try:
                self._apply(connection, batch)
            except _Refused as refused:
                if len(messages) > 1:
                    messages = messages[: len(messages) // 2]
                    continue
                self._leave_out(connection, batch, refused.error)
            except MessageFailed as failed:
                if failed.index > 0:
                    messages = messages[: failed.index]
                    continue
                if isinstance(failed.error, SequenceGapError):
                    self.folded.blocked = f"{place_of(batch, 0)}: {told(failed.error)}"
                    return None
                self._leave_out(connection, batch, failed.error)
                last = batch.offset(0) + 1
                messages = messages[:1]
            self.folded.messages += len(messages)
            return last

    def _apply(self, connection: Connection, batch: MessageBatch) -> None:
        indexes: Sequence[int] = range(len(batch))
        found = None
        if self._guard is not None:
            lane = Lane(batch.destination, batch.partition)
            found = self._guard.examine(
                connection, batch, indexes, past=lambda: self._positions.past(connection, lane)
            )
            indexes = [index for index in indexes if index not in found.duplicates]
        session = Session(bind=connection)
        arrivals = [Arrival(batch, index, session, limits=self._limits) for index in indexes]
        try:
            if concerned := [arrival for arrival in arrivals if self._reader.concerns(arrival)]:
                self._write(session, concerned)
        finally:
            session.close()
        if found is not None and self._guard is not None:
            self._guard.record(connection, batch.destination, found)

    def _write(self, session: Session, arrivals: Sequence[Arrival]) -> None:
        """
        Raises:
            _Refused: the database takes none of it; what was written before stays.
        """
        try:
            with session.begin_nested():
                self._rows.apply(arrivals)
        except MessageFailed:
            raise
        except Exception as error:
            if not is_for_its_values(error):
                raise
            raise _Refused(error) from error

    def _leave_out(self, connection: Connection, batch: MessageBatch, error: Exception) -> None:
        if not self._skip_unreadable:
            raise LifecycleError(
                f"{place_of(batch, 0)} cannot be applied: {told(error)}; to leave such messages out: "
                "--skip-unreadable"
            ) from error
        self.folded.unreadable += 1
        if self._guard is not None:
            lane = Lane(batch.destination, batch.partition)
            found = self._guard.examine(
                connection, batch, [0], past=lambda: self._positions.past(connection, lane), passing_over=True
            )
            self._guard.record(connection, batch.destination, found, passed_over=True)
