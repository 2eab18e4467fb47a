"""SQLite's statements, and what makes Python's driver keep transactions and savepoints.

By default the driver begins transactions late and leaves savepoints outside them: a rolled-back savepoint keeps
its rows, and two read-then-write transactions lose updates. Here the driver's own handling is switched off and
SQLAlchemy's "begin" sends BEGIN IMMEDIATE, so that a writer never finds the database changed under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, Select, Table, event, literal_column
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import SingletonThreadPool
from sqlalchemy.schema import CreateTable

from streambind.configuration.masking import shown_url
from streambind.errors import ConfigurationError
from streambind.persistence.on_conflict import OnConflictDialect
from streambind.persistence.sqlite_shadow import SQLiteShadow

BUSY_TIMEOUT_MS = 30_000
_LEGACY_TRANSACTIONS = -1


class SQLite(OnConflictDialect):
    """A transaction locks the whole database as it begins: nothing in it waits for rows."""

    name = "sqlite"
    now_ms = literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger)
    creates_tables = True
    shadow_of = SQLiteShadow

    def prepare(self, engine: Engine) -> None:
        prepare(engine)

    def locked(self, query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
        return query

    def create_beside(self, connection: Connection, table: Table, origin: Table) -> None:
        # It keeps values alike whatever the type, which CREATE TABLE AS would lose.
        connection.execute(CreateTable(table))

    def insert(self, table: Table) -> Any:
        return sqlite.insert(table)


def prepare(engine: Engine) -> None:
    """Install the handlers on an engine for SQLite, once; connections already in the pool are covered too.

    Raises:
        ConfigurationError: the database lives in the memory of one thread.
    """
    if isinstance(engine.pool, SingletonThreadPool):
        raise ConfigurationError(
            f"{shown_url(engine.url)} is private to each thread, but streambind works in several: use a file, or "
            "create_engine('sqlite://', poolclass=StaticPool, connect_args={'check_same_thread': False})"
        )
    if not event.contains(engine, "begin", _begin_immediate):
        event.listen(engine, "connect", _wait_for_locks)
        event.listen(engine, "begin", _begin_immediate)
        event.listen(engine, "do_connect", _require_folder)


def _require_folder(_dialect: object, _record: object, arguments: Sequence[Any], _options: object) -> None:
    """SQLite makes a missing file, but no folder, and then says no more than that it cannot open it.

    Raises:
        ConfigurationError: the folder of the database is not there.
    """
    file = str(arguments[0]) if arguments else ":memory:"
    folder = Path(file).absolute().parent
    if not file.startswith((":", "file:")) and not folder.is_dir():
        raise ConfigurationError(f"the database {file} cannot be made: there is no folder {folder}; make it first")


def _wait_for_locks(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    driver = connection.connection.dbapi_connection
    if getattr(driver, "autocommit", _LEGACY_TRANSACTIONS) is False:
        return  # The engine was made with autocommit=False: the driver has begun already.
    if getattr(driver, "isolation_level", None) is not None:
        driver.isolation_level = None  # type: ignore[union-attr]
    connection.exec_driver_sql("BEGIN IMMEDIATE")
