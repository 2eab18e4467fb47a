"""What waits in the outbox, and why: for health and the command line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, select

from streambind.persistence.database import Database
from streambind.persistence.tables import MAX_KEY_BYTES, SHARDS

MOST_COUNTED = 100_000
"""A backlog of so many messages may be a larger one."""


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key whose first unsent message can never be sent; or a message without a key (None), which nothing waits
    for: the one with the id `row_id` in the outbox."""

    destination: str
    key: bytes | None
    reason: str
    for_ms: int
    row_id: int = 0


@dataclass(frozen=True, slots=True)
class ShardLease:
    """A shard and who relays it; `expires_in_ms` is negative once the lease has run out."""

    shard: int
    owner: str | None
    expires_in_ms: int


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """`backlog` is counted up to MOST_COUNTED; `oldest_ms` is the age of the oldest message, None if there is
    none."""

    backlog: int
    oldest_ms: int | None
    blocked: tuple[BlockedKey, ...]
    leases: tuple[ShardLease, ...]


def outbox_status(database: Database) -> OutboxStatus:
    """Messages that wait, keys that are blocked, shards and their owners, as of one transaction.

    Raises:
        SQLAlchemyError: the database is away, or the tables are missing.
    """
    tables = database.tables

    def work(connection: Connection) -> OutboxStatus:
        now_ms = int(connection.scalar(select(database.dialect.now_ms)) or 0)
        lease = tables.lease.c
        blocked = connection.execute(select(tables.blocked).order_by(tables.blocked.c.since_ms))
        leases = connection.execute(select(tables.lease).where(lease.shard < SHARDS).order_by(lease.shard))
        return OutboxStatus(
            backlog=count_rows(connection, database),
            oldest_ms=age_of_oldest(connection, database),
            blocked=tuple(
                BlockedKey(
                    row.destination,
                    None if row.row_id else row.key,
                    row.reason,
                    max(0, now_ms - row.since_ms),
                    row.row_id,
                )
                for row in blocked
            ),
            leases=tuple(ShardLease(row.shard, row.owner, row.expires_ms - now_ms) for row in leases),
        )

    return database.run(work)


def count_rows(connection: Connection, database: Database, above: int = 0) -> int:
    """The rows of the outbox with ids above this, at most MOST_COUNTED: counting millions would take the database
    longer than sending them."""
    outbox = database.tables.outbox
    some = select(outbox.c.id).where(outbox.c.id > above).limit(MOST_COUNTED).subquery()
    return int(connection.scalar(select(func.count()).select_from(some)) or 0)


def is_relayed(connection: Connection, database: Database) -> bool:
    """Whether anybody holds a lease to send what is in the outbox."""
    lease = database.tables.lease.c
    held = select(lease.shard).where(lease.owner.is_not(None), lease.expires_ms > database.dialect.now_ms)
    return connection.scalar(held.limit(1)) is not None


def age_of_oldest(connection: Connection, database: Database, above: int = 0) -> int | None:
    """How long ago, in ms, the first row of the outbox was written that has an id above this; None if there is
    none."""
    outbox = database.tables.outbox.c
    age_ms = database.dialect.now_ms - outbox.created_ms
    oldest = connection.scalar(select(age_ms).where(outbox.id > above).order_by(outbox.id).limit(1))
    return None if oldest is None else max(0, int(oldest))


def unblock(database: Database, keys: Collection[BlockedKey]) -> int:
    """Let the relay try these again; returns how many of them were blocked. What is still refused is blocked
    again.

    Raises:
        SQLAlchemyError: nothing has changed.
    """
    blocked = database.tables.blocked.c
    statement = delete(database.tables.blocked)

    def work(connection: Connection) -> int:
        chosen = (
            and_(
                blocked.destination == one.destination,
                blocked.key == (one.key or b"")[:MAX_KEY_BYTES],
                blocked.row_id == one.row_id,
            )
            for one in keys
        )
        return sum(connection.execute(statement.where(row)).rowcount for row in chosen)

    return database.run(work)
