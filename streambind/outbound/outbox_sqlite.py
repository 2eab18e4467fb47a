"""The outbox's rows and their numbers on SQLite: two statements for any number of messages.

Parameters are what the driver stores as it is: bytes, numbers and text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from streambind.outbound.outbox_row import places, values_of
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database
from streambind.persistence.driver_text import DriverText

_COUNT = """
INSERT INTO {key} (destination, "key", seq, event_id) VALUES (:destination, :key, :count, :event_id)
ON CONFLICT (destination, "key") DO UPDATE SET seq = seq + excluded.seq, event_id = excluded.event_id
"""

_INSERT = """
INSERT INTO {outbox} (
    shard, binding, destination, "key", seq, event_id, payload, headers, "partition", created_ms
) VALUES (
    :shard, :binding, :destination, :key,
    (SELECT counter.seq FROM {key} AS counter WHERE counter.destination = :destination AND counter."key" = :key)
        - :later,
    :event_id, :payload, :headers, :partition, {now_ms}
)
"""


class SQLiteOutbox:
    """Writes messages to the outbox of a database. Thread-safe: it holds no state but its statements."""

    def __init__(self, database: Database) -> None:
        dialect, tables = database.engine.dialect, database.tables
        names = {
            "key": dialect.identifier_preparer.format_table(tables.key),
            "outbox": dialect.identifier_preparer.format_table(tables.outbox),
            "now_ms": database.dialect.now_ms,
        }
        self._count = DriverText(_COUNT.format(**names), dialect)
        self._insert = DriverText(_INSERT.format(**names), dialect)

    def write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        """Number the messages by key and insert them, in order."""
        later, count = places(messages)
        rows = [_row(message, before) for message, before in zip(messages, later, strict=True)]
        counters = [
            {**row, "count": of_key} for row, of_key in zip(rows, count, strict=True) if of_key is not None
        ]
        if counters:
            self._count.execute(connection, counters)
        self._insert.execute(connection, rows)


def _row(message: Outgoing, later: int | None) -> dict[str, Any]:
    row = values_of(message)
    row["later"] = later
    if message.event_id is not None:
        row["event_id"] = message.event_id.replace("-", "")
    return row
