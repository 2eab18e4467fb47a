"""A service with a read model, on every kind of engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from streambind.binders.memory.binder import MemoryBinder
from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.properties import MemoryBinderProperties
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.inbound.service import Base, Service
from tests.integration.urls import drivers, server_of, through
from tests.services import FreshDatabases, FreshMySQLDatabases

SYNCHRONOUS = ["sqlite", "postgresql+psycopg", "mysql+pymysql"]
ASYNCHRONOUS = ["sqlite+aiosqlite", "postgresql+psycopg_async", "postgresql+asyncpg", "mariadb+asyncmy"]
ONCE = ["sqlite", "postgresql+psycopg", "postgresql+asyncpg", "mysql+pymysql"]

MakeDatabase = Callable[[str], Database]


@pytest.fixture(scope="module")
def module_postgres_url(postgres: FreshDatabases) -> Iterator[str]:
    """A PostgreSQL database for the tests of one module: making one takes longer than most of them."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def module_mariadb_url(mariadb: FreshMySQLDatabases) -> Iterator[str]:
    """A MariaDB database for the tests of one module."""
    url = mariadb.new_database()
    yield url
    mariadb.drop_database(url)


@pytest.fixture(scope="module")
def module_mysql_url(mysql: FreshMySQLDatabases) -> Iterator[str]:
    """A MySQL database for the tests of one module."""
    url = mysql.new_database()
    yield url
    mysql.drop_database(url)


@pytest.fixture
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDatabase]:
    """Makes databases by driver, with empty tables; those of one test share their data."""
    loop = EventLoop()
    made: list[Database] = []

    def make(driver: str) -> Database:
        if driver.startswith("sqlite"):
            url = f"{driver}:///{tmp_path / 'service.db'}"
        else:
            url = through(driver, request.getfixturevalue(f"module_{server_of(driver)}_url"))
        database = Database.from_url(url, loop=loop)
        create_tables(database)
        database.run(lambda connection: Base.metadata.create_all(connection))
        if not made:
            database.run(lambda connection: _empty(connection, database))
        made.append(database)
        return database

    yield make
    for database in made:
        database.dispose()
    loop.close()


def _empty(connection: Connection, database: Database) -> None:
    tables = database.tables
    own = (
        tables.position,
        tables.guard,
        tables.parked_key,
        tables.parked,
        tables.inbox,
        tables.outbox,
        tables.letter,
        tables.audit,
    )
    for table in (*own, *reversed(Base.metadata.sorted_tables)):
        connection.execute(delete(table))


@pytest.fixture(params=drivers(*SYNCHRONOUS, *ASYNCHRONOUS))
def service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """On every engine; handlers are written once, `Service.listener` gives them the colour of the engine."""
    return Service(make_database(request.param))


@pytest.fixture(params=drivers(*ONCE))
def any_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """For large matrices: each database, each colour, once."""
    return Service(make_database(request.param))


@pytest.fixture(params=drivers(*ONCE, "mysql8+pymysql"))
def every_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """MySQL as well: for what is random and held against a model."""
    return Service(make_database(request.param))


@pytest.fixture(params=drivers(*SYNCHRONOUS))
def sync_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """For what does not depend on the colour."""
    return Service(make_database(request.param))


@pytest.fixture(params=drivers(*ASYNCHRONOUS))
def async_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    return Service(make_database(request.param))


@pytest.fixture
def postgres_service(make_database: MakeDatabase) -> Service:
    return Service(make_database("postgresql+psycopg"))


@pytest.fixture(params=drivers("postgresql+psycopg", "mysql+pymysql"))
def locking_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """On databases that lock rows, where several owners come far at the same time."""
    return Service(make_database(request.param))


@pytest.fixture
def binder() -> Iterator[MemoryBinder]:
    """The memory binder, on a broker of its own."""
    with MemoryBroker.fresh():
        binder = MemoryBinder(MemoryBinderProperties())
        yield binder
        binder.close(5000)
