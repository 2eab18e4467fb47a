"""PostgreSQL's NOTIFY and LISTEN: how one process tells others that it has committed something."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import Any
from zlib import crc32

from sqlalchemy import Connection

from streambind.event_loop import await_result
from streambind.persistence.database import Database

_ASK_S = 10.0
"""How often a silent connection is asked whether it still lives."""


def can_notify(database: Database) -> bool:
    """Whether the database has NOTIFY."""
    return database.dialect.notifies


def can_listen(database: Database) -> bool:
    """Whether notifications arrive through the database's driver."""
    return can_notify(database) and database.engine.dialect.driver in ("psycopg", "asyncpg")


def notify(database: Database) -> None:
    """Tell all who listen, in a transaction of its own.

    Raises:
        SQLAlchemyError: nobody was told.
    """
    statement = f"NOTIFY {_channel(database)}"

    def work(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    database.run(work)


class Notifications:
    """What is told in a database, from `open` on, on a connection beside the pool. One thread opens and waits;
    any may `interrupt`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._by_socket = database.engine.dialect.driver == "psycopg"
        self._told = threading.Event()
        self._interrupts: tuple[socket.socket, socket.socket] | None = None

    def open(self) -> None:
        """Connect and listen.

        Raises:
            Exception: whatever the driver has to say.
        """
        self._interrupts = socket.socketpair()
        pooled = self._database.raw_connection()
        self._connection = pooled.driver_connection
        pooled.detach()
        channel = _channel(self._database)
        if not self._by_socket:
            self._do(lambda connection: connection.add_listener(channel, self._tell))
            self._connection.add_termination_listener(self._tell)
        elif self._database.is_async:
            self._do(lambda connection: connection.set_autocommit(True))
            self._do(lambda connection: connection.execute(f"LISTEN {channel}"))
        else:
            self._connection.autocommit = True
            self._connection.execute(f"LISTEN {channel}")

    def wait(self) -> bool:
        """Until something is told, or some seconds are over; whether something was, or may have been.

        Raises:
            Exception: the connection is lost; what was told meanwhile is too.
        """
        told = self._wait_for_socket() if self._by_socket else self._told.wait(_ASK_S)
        self._told.clear()
        self._do(lambda connection: connection.execute("SELECT 1"))
        return told

    def interrupt(self) -> None:
        """Let `wait` return now."""
        self._tell()
        if self._interrupts is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                self._interrupts[1].send(b"x")

    def close(self) -> None:
        """
        Raises:
            Exception: whatever the driver has to say.
        """
        connection, self._connection = self._connection, None
        ends, self._interrupts = self._interrupts or (), None
        for end in ends:
            end.close()
        if connection is not None:
            self._call(connection.close)

    def _wait_for_socket(self) -> bool:
        assert self._interrupts is not None
        readable, _, _ = select.select([self._connection.fileno(), self._interrupts[0]], [], [], _ASK_S)
        return bool(readable)

    def _tell(self, *_: object) -> None:
        self._told.set()

    def _do(self, request: Callable[[Any], Any]) -> None:
        self._call(lambda: request(self._connection))

    def _call(self, request: Callable[[], Any]) -> None:
        if self._database.is_async:
            self._database.loop.call(lambda: await_result(request()))
        else:
            request()


def _channel(database: Database) -> str:
    schema = database.tables.metadata.schema
    return "sb_outbox" if schema is None else f"sb_outbox_{crc32(schema.encode()):08x}"
