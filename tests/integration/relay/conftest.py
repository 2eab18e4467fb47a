"""Databases with streambind's tables, and relays that end with the test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, literal_column

from streambind.configuration.properties import OutboxProperties
from streambind.event_loop import EventLoop
from streambind.outbound.relay import Relay
from streambind.outbound.relay_way import FencedProducers, Producers
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.urls import drivers, url_of

StartRelay = Callable[..., Relay]


def _database(request: pytest.FixtureRequest, directory: Path, driver: str) -> Iterator[Database]:
    loop = EventLoop()
    database = Database.from_url(url_of(driver, request, directory), loop=loop)
    create_tables(database)
    yield database
    database.dispose()
    loop.close()


@pytest.fixture(params=drivers("sqlite", "postgresql+psycopg", "mysql+pymysql"))
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind."""
    yield from _database(request, tmp_path, request.param)


@pytest.fixture(params=drivers("postgresql+psycopg", "mysql+pymysql"))
def several_writers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind in which transactions write side by side; SQLite has one writer at a time."""
    yield from _database(request, tmp_path, request.param)


@pytest.fixture(
    params=drivers(
        *("sqlite", "sqlite+aiosqlite"),
        *("postgresql+psycopg", "postgresql+asyncpg"),
        *("mysql+pymysql", "mariadb+asyncmy"),
        *("mysql8+pymysql", "mysql8+asyncmy"),
    )
)
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind, on synchronous and asynchronous engines."""
    yield from _database(request, tmp_path, request.param)


@pytest.fixture
def sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A SQLite file, where the kind of database does not matter."""
    yield from _database(request, tmp_path, "sqlite")


@pytest.fixture
def start_relay() -> Iterator[StartRelay]:
    """Starts relays with short times; stops them after the test."""
    relays: list[Relay] = []

    def start(
        database: Database,
        producers: Producers,
        owner: str = "relay-1",
        fenced: FencedProducers | None = None,
        **properties: int,
    ) -> Relay:
        chosen = {"lease_ms": 5000, "poll_interval_ms": 50, **properties}
        relay = Relay(database, producers, OutboxProperties(**chosen), owner, fenced=fenced)
        relay.start()
        relays.append(relay)
        return relay

    yield start
    for relay in relays:
        relay.stop(2000)


class DatabaseClock:
    """The time that the database tells; a test moves it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.run(lambda c: c.exec_driver_sql("CREATE TABLE test_clock (ms BIGINT NOT NULL)"))
        database.run(lambda c: c.exec_driver_sql("INSERT INTO test_clock VALUES (1000000)"))
        now_ms: ColumnElement[int] = literal_column("(SELECT ms FROM test_clock)")
        database.dialect = copy.copy(database.dialect)
        database.dialect.now_ms = now_ms

    def advance(self, milliseconds: int) -> None:
        self._database.run(lambda c: c.exec_driver_sql(f"UPDATE test_clock SET ms = ms + {int(milliseconds)}"))


@pytest.fixture
def database_clock(database: Database) -> DatabaseClock:
    return DatabaseClock(database)
