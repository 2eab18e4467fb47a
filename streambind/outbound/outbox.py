"""Writing the outbox: messages become rows of the caller's own transaction, numbered by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from streambind.outbound.keys import shard_of
from streambind.outbound.outbox_limit import OutboxLimit
from streambind.outbound.outbox_postgres import writing_statement
from streambind.outbound.outgoing import Headers, Outgoing
from streambind.persistence.database import Database
from streambind.persistence.schema import refused_for_tables
from streambind.persistence.stored_headers import store_headers

Counts = list[tuple[tuple[str, bytes], int]]
"""How many messages there are of each destination and key, sorted by both."""

Last = dict[tuple[str, bytes], UUID]
"""The last event of each destination and key."""


class Outbox:
    """The outbox of a database. Thread-safe: it holds no state but its statements."""

    def __init__(self, database: Database, *, max_rows: int | None = None) -> None:
        self._database = database
        self._limit = None if max_rows is None else OutboxLimit(database, max_rows)
        self._dialect = database.dialect
        self._key = database.tables.key
        self._insert = insert(database.tables.outbox).values(created_ms=database.dialect.now_ms)
        self._postgres = writing_statement(database) if database.dialect.name == "postgresql" else None

    def write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        """Insert one row for each message, in order; within the transaction that is open on `connection`.

        Keys are numbered densely per destination (not for what is no event of this service). Their counters stay
        locked until the transaction ends, so that the order of a key's numbers is the order of its commits; they
        are taken in the order of the keys, so that two flushes cannot deadlock over them. On PostgreSQL the
        transaction will be durable before it is visible, whatever `synchronous_commit` says.

        Raises:
            SchemaError: streambind's tables are not there.
            OutboxFullError: too many messages wait.
        """
        if not messages:
            return
        numbered = [
            ((m.destination, m.key), m.event_id) for m in messages if m.key is not None and m.event_id is not None
        ]
        counts = sorted(Counter(key for key, _ in numbered).items())
        last = dict(numbered)
        rows = [_row(message) for message in messages]
        try:
            if self._limit is not None:
                self._limit.refuse(connection, len(messages))
            if self._postgres is None:
                self._write(connection, counts, last, rows)
            else:
                connection.execute(self._postgres, _arrays(counts, last, rows))
        except DBAPIError as error:
            refused = refused_for_tables(error, self._database)
            if refused is None:
                raise
            raise refused from None  # The database's own error would show streambind's statement, and no remedy.

    def _write(self, connection: Connection, counts: Counts, last: Last, rows: list[dict[str, Any]]) -> None:
        next_number: dict[tuple[str, bytes], int] = {}
        if counts:
            counters = [{"destination": d, "key": k, "seq": n, "event_id": last[d, k]} for (d, k), n in counts]
            added = dict(counts)
            for stored in self._dialect.add(connection, self._key, counters, "seq"):
                counter = (stored.destination, stored.key)
                next_number[counter] = stored.seq - added[counter] + 1
        for row in rows:
            row["seq"] = None
            if row["key"] is not None and row["event_id"] is not None:
                counter = (row["destination"], row["key"])
                row["seq"] = next_number[counter]
                next_number[counter] += 1
        connection.execute(self._insert, rows)


def _row(message: Outgoing) -> dict[str, Any]:
    return {
        "shard": shard_of(message.key),
        "binding": message.binding,
        "destination": message.destination,
        "key": message.key,
        "event_id": message.event_id,
        "payload": message.payload,
        "headers": store_headers(message.headers) if message.event_id is None else _text(message.headers),
        "partition": message.partition,
    }


def _arrays(counts: Counts, last: Last, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    arrays = {name: [row[name] for row in rows] for name in rows[0]}
    left, later = dict(counts), []
    for row in rows:
        counter = (row["destination"], row["key"])
        if counter in left and row["event_id"] is not None:
            left[counter] -= 1
        later.append(left.get(counter, 0))
    return arrays | {
        "later": later,
        "counted_destination": [destination for (destination, _), _ in counts],
        "counted_key": [key for (_, key), _ in counts],
        "count": [count for _, count in counts],
        "counted_event": [last[counter] for counter, _ in counts],
    }


@lru_cache(maxsize=1024)
def _text(headers: Headers) -> str:
    """The messages of one event class mostly have the same headers."""
    return store_headers(headers)
