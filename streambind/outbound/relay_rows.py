"""The relay's statements on the outbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    union_all,
)

from streambind.outbound.outbox_status import age_of_oldest, count_rows
from streambind.outbound.relay_outcome import Blocked
from streambind.outbound.wire_message import OutboxRow, Source
from streambind.persistence.database import Database
from streambind.persistence.tables import MAX_KEY_BYTES, SHARDS

_KEPT = 32
_BYTES_PER_READ = 16 * 1024 * 1024
_FIRST_READ = 100


class Backlog(NamedTuple):
    """Rows, as far as they are counted; the age of the oldest one, None if there is none; and blocked keys."""

    rows: int
    oldest_ms: int | None
    blocked: int


class OutboxRows:
    """Reads and deletes for one owner of leases. Every method works inside the caller's transaction; used by
    the relay's thread only."""

    def __init__(self, database: Database, owner: str, *, batch_size: int, idle_limit_ms: int) -> None:
        self._database = database
        self._dialect = database.dialect
        self._outbox = database.tables.outbox
        self._blocked = database.tables.blocked
        self._lease = database.tables.lease
        self._owner = owner
        self._batch_size = batch_size
        self._idle_limit_ms = idle_limit_ms
        self.limit = min(batch_size, _FIRST_READ)
        self._statements: dict[tuple[frozenset[int], bool, bool], Select[Any]] = {}
        source = database.tables.source.c
        self._identity = select(source.source_id, source.epoch)
        # Whether or not it has expired: nobody else has taken it since.
        self._owned = select(self._lease.c.shard).where(self._lease.c.owner == owner)
        self._delete_ids = delete(self._outbox).where(self._dialect.one_of(self._outbox.c.id, "ids"))

    def begin(self, connection: Connection) -> None:
        """To be called first in each transaction."""
        self._dialect.begin_relay(connection, self._idle_limit_ms)

    def read(
        self,
        connection: Connection,
        shards: Collection[int],
        excluded: Collection[str],
        source: Source,
        *,
        under_way: Collection[int] = (),
        above: int = 0,
    ) -> list[OutboxRow]:
        """The oldest rows of `shards` in the order of their ids, at most `limit`, with ids above `above`, without
        blocked keys, the destinations of `excluded` and the ids that are `under_way`; none if the events come from
        another `source` by now: a row that was written under a new epoch is never sent under the old one. `limit`
        follows the size of what was read, so that rows of a megabyte do not fill the memory."""
        if not shards:
            return []
        statement = self._statement(frozenset(shards), bool(excluded), bool(under_way))
        parameters: dict[str, object] = {"at_most": self.limit, "above": above, **source._asdict()}
        if excluded:
            parameters["excluded"] = sorted(excluded)
        if under_way:
            parameters["under_way"] = list(under_way)
        rows = list(map(OutboxRow._make, connection.execute(statement, parameters).all()))
        if rows:
            size = 1 + sum(len(row.payload or b"") for row in rows)
            self.limit = min(self._batch_size, max(1, _BYTES_PER_READ * len(rows) // size))
        return rows

    def settle(
        self, connection: Connection, delivered: Sequence[OutboxRow], blocked: Sequence[Blocked]
    ) -> tuple[int, list[Blocked]]:
        """Delete delivered rows, and mark keys whose first unsent row can never be sent. Only in shards that
        this owner holds at this moment: those of a lost lease are left to the new owner.

        Returns how many rows were deleted, and which keys are newly blocked.
        """
        owned = set(connection.scalars(self._owned))
        ids = [row.id for row in delivered if row.shard in owned]
        deleted = connection.execute(self._delete_ids, {"ids": ids}).rowcount if ids else 0
        return deleted, self._block(connection, [entry for entry in blocked if entry.row.shard in owned])

    def source(self, connection: Connection) -> Source:
        """Where the events come from."""
        return Source(*connection.execute(self._identity).one())

    def backlog(self, connection: Connection, above: int = 0) -> Backlog:
        """What waits in the outbox above an id."""
        blocked = connection.scalar(select(func.count()).select_from(self._blocked))
        rows = count_rows(connection, self._database, above)
        return Backlog(rows, age_of_oldest(connection, self._database, above), int(blocked or 0))

    def _statement(self, shards: frozenset[int], excluding: bool, behind: bool) -> Select[Any]:
        """Building one takes longer than running it: they are kept for the shard sets that come up."""
        which = (shards, excluding, behind)
        statement = self._statements.get(which)
        if statement is None:
            if len(self._statements) >= _KEPT:
                self._statements.clear()
            statement = self._statements[which] = self._selection(shards, excluding, behind)
        return statement

    def _selection(self, shards: frozenset[int], excluding: bool, behind: bool) -> Select[Any]:
        o, b, s = self._outbox.c, self._blocked.c, self._database.tables.source.c
        event_id = self._dialect.id_as_sent(o.event_id)
        columns = [event_id if name == "event_id" else o[name] for name in OutboxRow._fields]
        at_most = bindparam("at_most", type_=Integer)
        # A scalar subquery, because PostgreSQL makes a join of NOT EXISTS, over the whole backlog at worst. And
        # not IS NULL: it takes that for rare, and the limit for out of reach.
        blocked = select(literal(1)).where(
            b.destination == o.destination,
            b.key == func.coalesce(func.substr(o.key, 1, MAX_KEY_BYTES), literal(b"")),
            b.row_id == case((o.key.is_(None), o.id), else_=0),
        )
        # Mostly there are none at all: asked once instead of row by row.
        any_blocked = select(literal(1)).select_from(self._blocked).correlate(None).exists()
        is_free = or_(~any_blocked, func.coalesce(blocked.scalar_subquery(), 0) != 1)
        known = s.source_id == bindparam("source_id"), s.epoch == bindparam("epoch")
        above = o.id > bindparam("above", type_=BigInteger)
        every = select(*columns).where(above, select(literal(1)).where(*known).exists(), is_free)
        if excluding:
            every = every.where(self._dialect.none_of(o.destination, "excluded"))
        if behind:
            every = every.where(self._dialect.none_of(o.id, "under_way"))
        if len(shards) == SHARDS:
            # What belongs to no shard could be sent, but not deleted.
            return every.where(o.shard.between(0, SHARDS - 1)).order_by(o.id).limit(at_most)
        # By shard, each with its own limit: a plain IN would walk over the rows of the other relays, which may
        # be far behind.
        parts = [
            every.where(o.shard == shard).order_by(o.id).limit(at_most).subquery() for shard in sorted(shards)
        ]
        merged = union_all(*(select(part) for part in parts)).subquery()
        return select(merged).order_by(merged.c.id).limit(at_most)

    def _block(self, connection: Connection, blocked: Sequence[Blocked]) -> list[Blocked]:
        entries: dict[tuple[str, bytes, int], Blocked] = {}
        for entry in blocked:
            entries.setdefault(_queue(entry.row), entry)
        if not entries:
            return []
        since_ms = connection.scalar(select(self._dialect.now_ms))
        values = [
            {"destination": destination, "key": key, "row_id": row, "reason": entry.reason, "since_ms": since_ms}
            for (destination, key, row), entry in entries.items()
        ]
        inserted = self._dialect.insert_missing(connection, self._blocked, values)
        return [entries[row["destination"], row["key"], row["row_id"]] for row in inserted]


def _queue(row: OutboxRow) -> tuple[str, bytes, int]:
    """What waits if the row cannot be sent: its key, of which the table keeps as much as it can, or it alone."""
    if row.key is None:
        return row.destination, b"", row.id
    return row.destination, row.key[:MAX_KEY_BYTES], 0
