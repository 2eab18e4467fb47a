"""A service's database: one door for work that streambind does in it, on synchronous and asynchronous engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop, await_result
from streambind.persistence.dialect import Dialect
from streambind.persistence.dialects import dialect_of
from streambind.persistence.tables import Tables

T = TypeVar("T")

TRANSACTION_TIMEOUT_MS = 300_000
OPERATOR_TIMEOUT_MS = 20_000
"""How long what a person does may hold up, or wait for, what services do."""

_URL = "streambind.datasource.url"

_HINTS = {
    "psycopg": "; pip install 'streambind[postgres]'",
    "psycopg2": "; write postgresql+psycopg://, and pip install 'streambind[postgres]'",
    "asyncpg": "; pip install 'streambind[asyncpg]'",
    "aiosqlite": "; pip install 'streambind[aiosqlite]'",
    "pymysql": "; pip install 'streambind[mysql]'",
    "asyncmy": "; pip install 'streambind[asyncmy]'",
    "MySQLdb": "; write mysql+pymysql://, and pip install 'streambind[mysql]'",
    "aiomysql": "; write mysql+asyncmy://, and pip install 'streambind[asyncmy]'",
}
"""What to do about a driver that is not installed."""

AnySessions = sessionmaker[Any] | async_sessionmaker[Any]


class Database:
    """The database that a sessionmaker writes to.

    Constructing it connects to nothing. `run` and `run_session` may be called from any thread, and, where the
    engine is asynchronous, from work that `EventLoop.call` runs; they block until the transaction has ended.

    Raises:
        ConfigurationError: the sessionmaker has no engine, or one without transactions, or the kind of database is
            not supported.
    """

    def __init__(
        self,
        sessions: AnySessions,
        *,
        loop: EventLoop,
        schema: str | None = None,
        engine: Engine | AsyncEngine | None = None,
    ) -> None:
        bound = engine if engine is not None else sessions.kw.get("bind")
        if not isinstance(bound, Engine | AsyncEngine):
            raise ConfigurationError(
                "the sessionmaker given as database= has no engine; write sessionmaker(bind=engine) "
                "or call Sessions.configure(bind=engine) before building the application"
            )
        self.sessions = sessions
        self.loop = loop
        self.is_async = isinstance(bound, AsyncEngine)
        self._async_engine = bound if isinstance(bound, AsyncEngine) else None
        self.engine = bound.sync_engine if isinstance(bound, AsyncEngine) else bound
        self.dialect: Dialect = dialect_of(self.engine.dialect.name)
        self.tables = Tables(schema)
        self.given_as = type(sessions).__name__
        """How the application was told of it, in words for errors."""
        self.command_target = "TARGET"
        """What commands of the shell take for the application that uses it; `TARGET` where that is not known."""
        self.transaction_timeout_ms = TRANSACTION_TIMEOUT_MS
        """How long a delivery's transaction may stand still before the database ends it."""
        _refuse_autocommit(self.engine)
        self.dialect.prepare(self.engine)

    @staticmethod
    def from_url(url: str, *, loop: EventLoop, schema: str | None = None) -> Database:
        """A database of `streambind.datasource.url`; statements' parameters never show up in errors.

        Raises:
            ConfigurationError: not a SQLAlchemy URL, or its driver is not installed.
        """
        parsed = Database.check_url(url)
        sessions: AnySessions
        try:
            if parsed.get_dialect().is_async:
                sessions = async_sessionmaker(create_async_engine(parsed, hide_parameters=True))
            else:
                sessions = sessionmaker(create_engine(parsed, hide_parameters=True))
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{_URL} needs the module {error.name!r}, which is not installed{_HINTS.get(error.name or '', '')}"
            ) from error
        database = Database(sessions, loop=loop, schema=schema)
        database.given_as = f"{_URL}: {parsed.drivername}"
        return database

    @staticmethod
    def check_url(url: str) -> URL:
        """The URL read, if it is one that `from_url` takes; whether its driver is installed is not looked at.

        Raises:
            ConfigurationError: it is not a SQLAlchemy URL, or the kind of database is not supported.
        """
        try:
            parsed = make_url(url)
            dialect_of(parsed.get_dialect().name)
        except (ArgumentError, NoSuchModuleError, ValueError):
            # Not `from error`: it may quote the address, password and all.
            raise ConfigurationError(
                f"{_URL} is not a SQLAlchemy URL such as postgresql+psycopg://user@host/name"
            ) from None
        return parsed

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction of its own: commits when it returns, rolls back when it raises."""
        if self._async_engine is None:
            with self.engine.connect() as connection, self.dialect.transaction(connection):
                return work(connection)
        engine = self._async_engine

        def on_loop() -> T:
            connection: AsyncConnection = await_result(engine.connect().start())
            inner: Connection = connection.sync_connection  # type: ignore[assignment]
            try:
                with self.dialect.transaction(inner):
                    return work(inner)
            finally:
                await_result(connection.close())

        return self.loop.call(on_loop)

    def run_bounded(self, work: Callable[[Connection], T]) -> T:
        """As `run`, for what a person does beside running services: where the database can, it ends the
        transaction when that stands still, or waits for a lock, for longer than OPERATOR_TIMEOUT_MS."""

        def bounded(connection: Connection) -> T:
            self.bound(connection)
            return work(connection)

        return self.run(bounded)

    def bound(self, connection: Connection) -> None:
        """What `run_bounded` begins with, for a session's transaction. On MySQL it lasts until the connection is
        used by `run` again."""
        self.dialect.limit_waits(connection, OPERATOR_TIMEOUT_MS)

    def run_session(self, work: Callable[[Session, AsyncSession | None], T]) -> T:
        """Run `work` in a transaction of a session of the service's own sessionmaker. On an asynchronous engine
        it runs on the loop and gets the AsyncSession too; the Session is then the one inside it."""
        if isinstance(self.sessions, async_sessionmaker):
            sessions = self.sessions

            def on_loop() -> T:
                asynchronous: AsyncSession = sessions()
                try:
                    with asynchronous.sync_session.begin():
                        return work(asynchronous.sync_session, asynchronous)
                finally:
                    await_result(asynchronous.close())

            return self.loop.call(on_loop)
        with self.sessions() as session, session.begin():
            return work(session, None)

    def raw_connection(self) -> PoolProxiedConnection:
        """A connection of the pool, for a driver's own abilities; the caller detaches or closes it."""
        if self._async_engine is None:
            return self.engine.raw_connection()
        engine = self._async_engine
        return self.loop.call(lambda: await_result(engine.raw_connection()))

    def dispose(self, timeout_s: float | None = None) -> None:
        """Close the pool's idle connections; the database opens new ones when it is used again.

        Raises:
            TimeoutError: not within the time; only on an asynchronous engine.
        """
        if self._async_engine is None:
            self.engine.dispose()
        else:
            engine = self._async_engine
            self.loop.call(lambda: await_result(engine.dispose()), timeout_s=timeout_s)


def _refuse_autocommit(engine: Engine) -> None:
    level = engine.get_execution_options().get("isolation_level")
    level = level or getattr(engine.dialect, "_on_connect_isolation_level", None)
    if str(level).upper() == "AUTOCOMMIT":
        raise ConfigurationError(
            "the engine commits each statement by itself (isolation_level AUTOCOMMIT), so that changes, events "
            "and positions would not come about together: give streambind an engine without it"
        )
