"""The outbox's rows and their numbers on MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from streambind.outbound.outbox_row import places, values_of
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
        later, count = places(messages)
        counters: list[dict[str, Any]] = [
            {"destination": each.destination, "key": each.key, "seq": of_key, "event_id": _id(each)}
            for each, of_key in zip(messages, count, strict=True)
            if of_key is not None
        ]
        last: dict[tuple[str, bytes | None], int] = {}
        if counters:
            counters.sort(key=itemgetter("destination", "key"))
            for stored in self._dialect.add(connection, self._key, counters, "seq"):
                last[stored.destination, stored.key] = stored.seq
        rows = [
            _row(each, None if before is None else last[each.destination, each.key] - before)
            for each, before in zip(messages, later, strict=True)
        ]
        connection.execute(self._insert, rows)


def _row(message: Outgoing, number: int | None) -> dict[str, Any]:
    return {**values_of(message), "seq": number, "event_id": _id(message)}


def _id(message: Outgoing) -> UUID | None:
    return None if message.event_id is None else UUID(message.event_id)
