"""Writing the outbox: messages become rows of the caller's own transaction, numbered by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, insert, literal_column

from streambind.outbound.keys import shard_of
from streambind.outbound.outgoing import Headers, Outgoing
from streambind.outbound.stored_headers import store_headers
from streambind.persistence.database import Database


class Outbox:
    """The outbox of a database. Thread-safe: it holds no state but its statements."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect
        self._key = database.tables.key
        self._insert = insert(database.tables.outbox).values(created_ms=_durable_clock(database))

    def write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        """Insert one row for each message, in order; within the transaction that is open on `connection`.

        Keys are numbered densely per destination. The rows of the counters stay locked until the transaction
        ends, so that the order of a key's numbers is the order of its commits; they are taken in the order of
        the keys, so that two flushes cannot deadlock over them.
        """
        if not messages:
            return
        numbers = self._numbers(connection, messages)
        rows: list[dict[str, Any]] = []
        for message in messages:
            seq: int | None = None
            if message.key is not None:
                counter = (message.destination, message.key)
                seq = numbers[counter]
                numbers[counter] = seq + 1
            rows.append(
                {
                    "shard": shard_of(message.key),
                    "binding": message.binding,
                    "destination": message.destination,
                    "key": message.key,
                    "seq": seq,
                    "event_id": message.event_id,
                    "payload": message.payload,
                    "headers": _text(message.headers),
                }
            )
        connection.execute(self._insert, rows)

    def _numbers(self, connection: Connection, messages: Sequence[Outgoing]) -> dict[tuple[str, bytes], int]:
        """The first number for each key; what is stored afterwards is the last one."""
        counts = Counter((m.destination, m.key) for m in messages if m.key is not None)
        if not counts:
            return {}
        rows = [{"destination": d, "key": k, "seq": n} for (d, k), n in sorted(counts.items())]
        stored = self._dialect.add(connection, self._key, rows, "seq")
        return {(row.destination, row.key): row.seq - counts[row.destination, row.key] + 1 for row in stored}


def _durable_clock(database: Database) -> ColumnElement[int]:
    """The database's time; on PostgreSQL, reading it turns `synchronous_commit` back on for this transaction.

    With synchronous_commit=off a commit is visible before it is durable: the relay would send an event that a
    crash undoes. The setting can change with any statement, so it is looked at where the rows are written,
    which costs no round trip. CASE, because it alone promises the order of evaluation.
    """
    if database.dialect.name != "postgresql":
        return database.dialect.now_ms
    switched_on = func.set_config("synchronous_commit", "on", literal_column("true")) == "on"
    return case(
        (
            func.current_setting("synchronous_commit") == "off",
            case((switched_on, database.dialect.now_ms)),
        ),
        else_=database.dialect.now_ms,
    )


@lru_cache(maxsize=1024)
def _text(headers: Headers) -> str:
    """The messages of one event class mostly have the same headers."""
    return store_headers(headers)
