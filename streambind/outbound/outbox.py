"""Writing the outbox: messages become rows of the caller's own transaction, numbered by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from streambind.outbound.keys import shard_of
from streambind.outbound.outbox_limit import OutboxLimit
from streambind.outbound.outbox_postgres import PostgresOutbox
from streambind.outbound.outbox_row import header_text, is_numbered
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database
from streambind.persistence.schema import refused_for_tables


class Outbox:
    """The outbox of a database. Thread-safe: it holds no state but its statements."""

    def __init__(self, database: Database, *, max_rows: int | None = None) -> None:
        self._database = database
        self._limit = None if max_rows is None else OutboxLimit(database, max_rows)
        self._dialect = database.dialect
        self._key = database.tables.key
        self._insert = insert(database.tables.outbox).values(created_ms=database.dialect.now_ms)
        self._postgres = PostgresOutbox(database) if database.dialect.has_arrays else None

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
        try:
            if self._limit is not None:
                self._limit.refuse(connection, len(messages))
            if self._postgres is None:
                self._write(connection, messages)
            else:
                self._postgres.write(connection, messages)
        except DBAPIError as error:
            refused = refused_for_tables(error, self._database)
            if refused is None:
                raise
            raise refused from None  # The database's own error would show streambind's statement, and no remedy.

    def _write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        numbered = [((m.destination, m.key), m.event_id) for m in messages if is_numbered(m)]
        next_number: dict[tuple[str, bytes | None], int] = {}
        if numbered:
            added, last = Counter(counter for counter, _ in numbered), dict(numbered)
            counters = [
                {"destination": destination, "key": key, "seq": count, "event_id": UUID(last[destination, key])}
                for (destination, key), count in sorted(added.items())
            ]
            for stored in self._dialect.add(connection, self._key, counters, "seq"):
                counter = (stored.destination, stored.key)
                next_number[counter] = stored.seq - added[counter] + 1
        rows = []
        for message in messages:
            number = None
            if is_numbered(message):
                counter = (message.destination, message.key)
                number = next_number[counter]
                next_number[counter] += 1
            rows.append(_row(message, number))
        connection.execute(self._insert, rows)


def _row(message: Outgoing, number: int | None) -> dict[str, Any]:
    return {
        "shard": shard_of(message.key),
        "binding": message.binding,
        "destination": message.destination,
        "key": message.key,
        "seq": number,
        "event_id": None if message.event_id is None else UUID(message.event_id),
        "payload": message.payload,
        "headers": header_text(message),
        "partition": message.partition,
    }
