"""Transactions that write to the outbox, as capture does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, select

from streambind.outbound.event_ids import new_event_id
from streambind.outbound.outbox import Outbox
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database


def event(key: bytes | None, *, destination: str = "lectures", payload: bytes | None = b"{}") -> Outgoing:
    """An encoded message for an output binding named after its destination."""
    headers = (("contentType", b"application/json"),)
    return Outgoing(f"out-{destination}", destination, key, payload, headers, new_event_id())


def commit(database: Database, events: Sequence[Outgoing]) -> None:
    """One transaction with these events."""
    outbox = Outbox(database)
    database.run(lambda connection: outbox.write(connection, events))


def commit_keys(
    database: Database, keys: Iterable[int], *, rounds: int = 1, destination: str = "lectures"
) -> None:
    """Transactions that change every key once, `rounds` of them."""
    names = [b"%d" % key for key in keys]
    for _ in range(rounds):
        commit(database, [event(name, destination=destination) for name in names])


def committed(database: Database, destination: str = "lectures") -> dict[bytes, int]:
    """The last number of each key."""
    key = database.tables.key

    def work(connection: Connection) -> dict[bytes, int]:
        rows = connection.execute(select(key.c.key, key.c.seq).where(key.c.destination == destination))
        return {row.key: row.seq for row in rows}

    return database.run(work)


def backlog(database: Database) -> int:
    """Rows in the outbox."""
    outbox = database.tables.outbox
    return database.run(lambda connection: connection.scalar(select(func.count()).select_from(outbox)) or 0)
