"""Which relay owns which shards of the outbox: lease rows on database time, the same on every database.

A shard belongs to the owner in its row until `expires_ms`. Beside the shards, the table holds one *seat* per
relay, numbered from SHARDS on and renewed together with the shards: counting seats tells every relay how many
there are, even one that owns nothing yet. Relays are ranked by name and each knows its share; who holds more
lets the surplus go once nothing of it is in flight, who holds less takes what is free or expired. No relay
ever takes a shard whose lease runs: hand-over is by release or by expiry only. An expiry further ahead
than HORIZON leases was written before the database's clock was set back, and counts as expired; relays that are
alive then may send twice for the moment until each has renewed. So the lease times of relays on one database
must not differ by more than that.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, select, update

from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS

HORIZON = 10
"""How many lease times ahead an expiry is believed."""


class LeaseRow(NamedTuple):
    """One row of `sb_lease`: a shard below SHARDS, else a seat."""

    shard: int
    owner: str | None
    expires_ms: int


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """What one relay does in one round. `surplus` is held, above the share, and still in flight."""

    take: tuple[int, ...]
    keep: tuple[int, ...]
    release: tuple[int, ...]
    surplus: tuple[int, ...]
    seat: int | None
    stale_seats: tuple[int, ...]


def share(owner: str, live: Collection[str]) -> int:
    """How many shards `owner` should hold: the shares of all live relays add up to SHARDS."""
    ranked = sorted({owner, *live})
    quotient, rest = divmod(SHARDS, len(ranked))
    return quotient + (1 if ranked.index(owner) < rest else 0)


def plan_round(
    rows: Sequence[LeaseRow], owner: str, now_ms: int, busy: Collection[int], *, lease_ms: int
) -> LeasePlan:
    """What `owner` should do about the rows as they are now; `busy` are shards with messages in flight."""
    horizon_ms = now_ms + HORIZON * lease_ms

    def runs(row: LeaseRow) -> bool:
        return now_ms <= row.expires_ms <= horizon_ms

    live = {row.owner for row in rows if row.owner is not None and runs(row)}
    shards = [row for row in rows if row.shard < SHARDS]
    seats = [row for row in rows if row.shard >= SHARDS]
    quota = share(owner, live)
    # Busy ones first: what is in flight is kept as long as possible, idle surplus goes at once.
    mine = sorted((r.shard for r in shards if r.owner == owner), key=lambda s: (s not in busy, s))
    keep, above = mine[:quota], mine[quota:]
    free = [r.shard for r in shards if r.owner != owner and (r.owner is None or not runs(r))]
    seated = any(row.owner == owner for row in seats)
    taken = {row.shard for row in seats}
    return LeasePlan(
        take=tuple(free[: max(0, quota - len(mine))]),
        keep=tuple(sorted(keep)),
        release=tuple(s for s in above if s not in busy),
        surplus=tuple(s for s in above if s in busy),
        seat=None if seated else next(n for n in range(SHARDS, SHARDS + len(seats) + 1) if n not in taken),
        stale_seats=tuple(r.shard for r in seats if r.owner != owner and not runs(r)),
    )


def ranges(numbers: Collection[int]) -> str:
    """Shards for people: `0-3, 7`."""
    ordered = sorted(numbers)
    starts = ordered[:1] + [b for a, b in pairwise(ordered) if b != a + 1]
    ends = [a for a, b in pairwise(ordered) if b != a + 1] + ordered[-1:]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


class Hold(NamedTuple):
    """Shards that are held until a time (monotonic seconds), each in a tenure: a number that is another one
    whenever somebody else may have held the shard in between."""

    valid_until: float
    tenures: Mapping[int, int]


class Leases:
    """The leases of one relay; used by the relay's thread only.

    `held` are the shards to read from, `retiring` those that are no longer read and go when nothing of them
    is in flight. Both are worth something until `valid_until`, on this process's monotonic clock, counted from
    before the renewal was asked for: the database's lease never ends earlier. `stalled` says why nobody seems to
    serve any shard; None while all is well.
    """

    def __init__(
        self,
        database: Database,
        owner: str,
        *,
        lease_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._table = database.tables.lease
        self._owner = owner
        self._lease_ms = lease_ms
        self._clock = clock
        self.held: frozenset[int] = frozenset()
        self.retiring: frozenset[int] = frozenset()
        self.valid_until = 0.0
        self.due_at = 0.0
        self.tenures: Mapping[int, int] = {}
        self.stalled: str | None = None
        self._numbers = itertools.count(1)
        self._others: frozenset[LeaseRow] = frozenset()
        self._others_since = self._answered_at = clock()

    def round(self, busy: Collection[int]) -> frozenset[int]:
        """Renew, take and let go, in one transaction; returns the shards that are newly held.

        Raises:
            SQLAlchemyError: nothing has changed; what was held stays so until it expires.
        """
        asked_at = self._clock()
        before = self.held | self.retiring
        plan, others = self._database.run(lambda connection: self._round(connection, busy))
        self.held = frozenset((*plan.keep, *plan.take))
        self.retiring = frozenset(plan.surplus)
        kept = before - set(plan.take)  # what we thought to hold and take again was somebody else's meanwhile
        self.tenures = {
            s: self.tenures[s] if s in kept else next(self._numbers) for s in self.held | self.retiring
        }
        self._answered_at = asked_at
        self.valid_until = asked_at + self._lease_ms / 1000
        self.due_at = asked_at + self._lease_ms / 3000
        self._watch(others, asked_at)
        return self.held - before

    @property
    def unanswered(self) -> str | None:
        """Why nothing can be sent, if the database has not answered for as long as a lease lasts. Any thread."""
        silent_s = self._clock() - self._answered_at
        if silent_s <= self._lease_ms / 1000:
            return None
        return f"the database has not answered for {silent_s:.0f} s, and the leases have run out: nothing is sent"

    @property
    def hold(self) -> Hold:
        """What is held now."""
        return Hold(self.valid_until, self.tenures)

    def begin_anew(self, shards: Collection[int]) -> None:
        """Somebody else may have held these: give them new tenures and ask soon whether they are still ours."""
        self.tenures = {s: next(self._numbers) if s in shards else number for s, number in self.tenures.items()}
        self.due_at = 0.0

    def release(self) -> None:
        """Let everything go at once, the seat too.

        Raises:
            SQLAlchemyError: the leases expire by themselves.
        """
        self.held = self.retiring = frozenset()
        self.tenures = {}
        self.valid_until = 0.0

        def work(connection: Connection) -> None:
            mine = self._table.c.owner == self._owner
            connection.execute(delete(self._table).where(mine, self._table.c.shard >= SHARDS))
            connection.execute(update(self._table).where(mine).values(owner=None, expires_ms=0))

        self._database.run(work)

    def _watch(self, others: frozenset[LeaseRow], now: float) -> None:
        """Whoever lives renews thrice per lease time, and who does not loses its shards after one."""
        if self.held or self.retiring or others != self._others:
            self._others, self._others_since, self.stalled = others, now, None
        elif now - self._others_since > self._lease_ms / 1000:
            owners = ", ".join(sorted({str(row.owner) for row in others})) or "nobody"
            self.stalled = (
                f"no shard of the outbox is held here; they belong to {owners} and have not been renewed for "
                f"{now - self._others_since:.0f} s. Was the clock of the database set back?"
            )

    def _round(self, connection: Connection, busy: Collection[int]) -> tuple[LeasePlan, frozenset[LeaseRow]]:
        """What was done, and the shards of other owners before it."""
        self._database.dialect.begin_relay(connection, self._lease_ms)
        rows, now_ms = self._read(connection)
        # The rows are locked from here on (SQLite: the database is): the plan is what happens.
        plan = plan_round(rows, self._owner, now_ms, busy, lease_ms=self._lease_ms)
        columns, expires_ms = self._table.c, now_ms + self._lease_ms
        seat = plan.seat
        if seat is None:
            mine = and_(columns.shard >= SHARDS, columns.owner == self._owner)
            connection.execute(update(self._table).where(mine).values(expires_ms=expires_ms))
        else:
            # Another relay may take the same number at the same moment: then the next round tries again.
            row = {"shard": seat, "owner": self._owner, "expires_ms": expires_ms}
            self._database.dialect.insert_missing(connection, self._table, [row])
        self._own(connection, (*plan.take, *plan.keep, *plan.surplus), self._owner, expires_ms)
        self._own(connection, plan.release, None, 0)
        if plan.stale_seats:
            connection.execute(delete(self._table).where(columns.shard.in_(plan.stale_seats)))
        return plan, frozenset(r for r in rows if r.shard < SHARDS and r.owner not in (None, self._owner))

    def _read(self, connection: Connection) -> tuple[list[LeaseRow], int]:
        columns = self._table.c
        statement = select(columns.shard, columns.owner, columns.expires_ms).order_by(columns.shard)
        # Always in the order of the shards: two relays' rounds queue up instead of deadlocking.
        rows = [LeaseRow(*row) for row in connection.execute(self._database.dialect.locked(statement))]
        # Asked for once the locks are there: waiting for them may have taken long.
        now_ms = connection.scalar(select(self._database.dialect.now_ms))
        return rows, int(now_ms or 0)

    def _own(self, connection: Connection, shards: Sequence[int], owner: str | None, expires_ms: int) -> None:
        if shards:
            chosen = self._table.c.shard.in_(shards)
            connection.execute(update(self._table).where(chosen).values(owner=owner, expires_ms=expires_ms))
