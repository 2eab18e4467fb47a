"""`streambind.outbox.max-rows`: commits fail before the outbox fills the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection, func, select

from streambind.errors import OutboxFullError
from streambind.persistence.database import Database

_SHARE = 20
_FOR_S = 1.0


class OutboxLimit:
    """How many messages may wait. Thread-safe.

    A look counts them; after it this process writes a twentieth of the room that it found without looking again,
    within a second. On PostgreSQL a look walks over what was deleted since the oldest open transaction began.
    Transactions that write at the same moment do not see each other, and neither do such twentieths: the limit may
    be passed by what they write.
    """

    def __init__(self, database: Database, max_rows: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        outbox = database.tables.outbox.c
        self._max_rows = max_rows
        # The ids tell the most that there can be, at two looks into an index; rows that are blocked, and stay
        # behind, make it a bad guess: then they are counted.
        self._span = select(func.max(outbox.id) - func.min(outbox.id) + 1)
        some = select(outbox.id).limit(max_rows + 1).subquery()
        self._count = select(func.count()).select_from(some)
        self._clock = clock
        self._lock = threading.Lock()
        self._granted = 0
        self._until = 0.0

    def refuse(self, connection: Connection, more: int) -> None:
        """
        Raises:
            OutboxFullError: with so many more there would be too many.
        """
        if self._is_granted(more):
            return
        for query in (self._span, self._count):
            room = self._max_rows - (connection.scalar(query) or 0)
            if more <= room:
                self._grant((room - more) // _SHARE)
                return
        raise OutboxFullError(
            f"{self._max_rows} messages or more wait in the outbox (streambind.outbox.max-rows): see why they are "
            "not sent with `streambind outbox status`, then try again"
        )

    def _is_granted(self, more: int) -> bool:
        with self._lock:
            if more > self._granted or self._clock() >= self._until:
                return False
            self._granted -= more
            return True

    def _grant(self, rows: int) -> None:
        with self._lock:
            self._granted, self._until = rows, self._clock() + _FOR_S
