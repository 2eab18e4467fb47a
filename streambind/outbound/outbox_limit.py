"""`streambind.outbox.max-rows`: commits fail before the outbox fills the disk."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from streambind.errors import OutboxFullError
from streambind.persistence.database import Database


class OutboxLimit:
    """How many messages may wait. Transactions that write at the same moment do not see each other, so that the
    limit may be passed by what they write."""

    def __init__(self, database: Database, max_rows: int) -> None:
        outbox = database.tables.outbox.c
        self._max_rows = max_rows
        # The ids tell the most that there can be, at two looks into an index; rows that are blocked, and stay
        # behind, make it a bad guess: then they are counted.
        self._span = select(func.max(outbox.id) - func.min(outbox.id) + 1)
        some = select(outbox.id).limit(max_rows + 1).subquery()
        self._count = select(func.count()).select_from(some)

    def refuse(self, connection: Connection, more: int) -> None:
        """
        Raises:
            OutboxFullError: with so many more there would be too many.
        """
        for query in (self._span, self._count):
            if (connection.scalar(query) or 0) + more <= self._max_rows:
                return
        raise OutboxFullError(
            f"{self._max_rows} messages or more wait in the outbox (streambind.outbox.max-rows): see why they are "
            "not sent with `streambind outbox status`, then try again"
        )
