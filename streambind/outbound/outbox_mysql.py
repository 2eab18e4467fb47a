"""The outbox's rows and their numbers on MySQL and MariaDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from streambind.outbound.keys import shard_of
from streambind.outbound.outbox_row import header_text, is_numbered
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database


class MySQLOutbox:
    """Writes messages to the outbox of a database. Thread-safe: it holds no state but its statement."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect
        self._key = database.tables.key
        self._insert = insert(database.tables.outbox).values(created_ms=database.dialect.now_ms)

    def write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        """Number the messages by key and insert them, in order."""
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
