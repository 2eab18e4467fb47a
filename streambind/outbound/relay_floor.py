"""Where a read of the outbox may begin: above ids that cannot turn up again.

PostgreSQL keeps deleted rows while any transaction is open that could still see them, and a read in the order
of the ids walks over all of them: behind an hour's dump of the database it would walk over an hour's messages,
every time. A cursor over ids is no way out, it loses what commits late: an id is drawn at the insert, not at the
commit. The floor is a cursor that waits for those.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from streambind.persistence.database import Database

_SLOW_S = 0.02
_LOOK_EVERY_S = 1.0
_WHOLE_EVERY_S = 10.0
_WHOLE_COST = 20
"""A read of everything may take a twentieth of the time."""


class Look(NamedTuple):
    """One snapshot: the lowest id above the floor, the lowest transaction that is open, the next one to come."""

    lowest: int | None
    open_from: int
    next_one: int


class Floor:
    """Every row with an id up to `value` is gone, and no open transaction can bring another.

    Proof by two looks. The first finds that there is no row up to some id, and which transaction number comes
    next. The second, when all transactions before that number have ended, finds that there is still none. Had
    one of them brought a row with such an id, it would be there now. A later transaction cannot: ids grow, and
    it draws its ids after the first look. This takes for granted that a transaction has a number before it
    draws an id; it has one if the row has a key, because the key's counter is updated first (for a dead letter,
    the position). For rows without a
    key, which have no order either, a read from the bottom every ten seconds makes up for it.

    It costs nothing where it is not needed: nothing is asked, and `value` is 0, until reads become slow. Used by
    the relay's thread only.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        outbox = database.tables.outbox
        self.value = 0
        self._clock = clock
        self._possible = database.dialect.numbers_transactions
        self._slow = False
        self._candidate: tuple[int, int] | None = None
        self._highest_deleted = 0
        self._look_at = 0.0
        self._whole_at = 0.0
        lowest = select(outbox.c.id).where(outbox.c.id > bindparam("floor")).order_by(outbox.c.id).limit(1)
        # The functions of PostgreSQL 8.3; their successors came with 13.
        snapshot = func.txid_current_snapshot()
        self._statement = select(
            lowest.scalar_subquery(), func.txid_snapshot_xmin(snapshot), func.txid_snapshot_xmax(snapshot)
        )

    def for_read(self) -> int:
        """The id above which the next read looks; 0 is everything."""
        return 0 if self._clock() >= self._whole_at else self.value

    def has_read(self, above: int, took_s: float) -> None:
        """Take note of how long a read took that looked above that id."""
        if not self._possible:
            return
        if above == 0:
            self._slow = took_s > _SLOW_S
            self._whole_at = self._clock() + max(_WHOLE_EVERY_S, _WHOLE_COST * took_s)
            if not self._slow:
                self.value, self._candidate = 0, None

    def has_deleted(self, highest: int) -> None:
        """Take note of the highest id that was deleted."""
        self._highest_deleted = max(self._highest_deleted, highest)

    def wants_look(self) -> bool:
        """Whether `look` should be called now."""
        return self._slow and self._clock() >= self._look_at

    def look(self, connection: Connection) -> None:
        """Ask the database, in a transaction of its own, and raise the floor where that is proved."""
        self._look_at = self._clock() + _LOOK_EVERY_S
        row = connection.execute(self._statement, {"floor": self.value}).one()
        self.take(Look(*row))

    def take(self, look: Look) -> None:
        """Draw the conclusion from a look."""
        gone = self._highest_deleted if look.lowest is None else look.lowest - 1
        if self._candidate is not None and look.open_from >= self._candidate[1]:
            if gone >= self._candidate[0]:
                self.value = self._candidate[0]
            self._candidate = None
        if self._candidate is None and gone > self.value:
            self._candidate = (gone, look.next_one)
