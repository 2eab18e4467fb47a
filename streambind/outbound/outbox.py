"""Writing the outbox: messages become rows of the caller's own transaction, numbered by key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from streambind.outbound.outbox_limit import OutboxLimit
from streambind.outbound.outbox_mysql import MySQLOutbox
from streambind.outbound.outbox_postgres import PostgresOutbox
from streambind.outbound.outbox_sqlite import SQLiteOutbox
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database
from streambind.persistence.schema import refused_for_tables


class Outbox:
    """The outbox of a database. Thread-safe: it holds no state but its statements."""

    def __init__(self, database: Database, *, max_rows: int | None = None) -> None:
        self._database = database
        self._limit = None if max_rows is None else OutboxLimit(database, max_rows)
        self._rows = _ROWS[database.dialect.name](database)

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
            self._rows.write(connection, messages)
        except DBAPIError as error:
            refused = refused_for_tables(error, self._database)
            if refused is None:
                raise
            raise refused from None  # The database's own error would show streambind's statement, and no remedy.


class _Rows(Protocol):
    """Writes rows as one kind of database takes them best."""

    def write(self, connection: Connection, messages: Sequence[Outgoing]) -> None: ...


_ROWS: dict[str, Callable[[Database], _Rows]] = {
    "postgresql": PostgresOutbox,
    "sqlite": SQLiteOutbox,
    "mysql": MySQLOutbox,
}
