"""What a replica's group has made of a message whose predecessor is missing."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from streambind.inbound.numbers import event_of
from streambind.message import Batch
from streambind.persistence.database import Database
from streambind.replicas.replica import Replica


class GroupRecord:
    """Asks guard and parked messages of the replica's group, without locks: it may go on meanwhile."""

    def __init__(self, database: Database, replica: Replica) -> None:
        self._tables = database.tables
        self._group = replica.group

    def has_passed(self, connection: Connection, batch: Batch, i: int) -> bool:
        """Whether the message's number, or a later one of its key, was applied or passed over."""
        numbered = event_of(batch, i)
        if numbered is None:
            return True
        chain, event = numbered
        columns = self._tables.guard.c
        later = or_(columns.epoch > event.epoch, and_(columns.epoch == event.epoch, columns.seq >= event.seq))
        return self._is_there(
            connection,
            columns.group_name == self._group,
            columns.destination == batch.destination,
            columns.source_id == chain.source_id,
            columns.key == chain.key,
            later,
        )

    def is_waiting(self, connection: Connection, batch: Batch, i: int) -> bool:
        """Whether the message is parked."""
        columns = self._tables.parked.c
        return self._is_there(
            connection,
            columns.group_name == self._group,
            columns.destination == batch.destination,
            columns.partition == batch.partition,
            columns.offset == batch.offset(i),
        )

    def _is_there(self, connection: Connection, *conditions: object) -> bool:
        return connection.execute(select(1).where(*conditions).limit(1)).first() is not None  # type: ignore[arg-type]
