"""A service with a read model, on every kind of engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.inbound.service import Base, Service

SYNCHRONOUS = ["sqlite", "postgresql+psycopg"]
ASYNCHRONOUS = ["sqlite+aiosqlite", "postgresql+psycopg_async", "postgresql+asyncpg"]

MakeDatabase = Callable[[str], Database]


@pytest.fixture
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDatabase]:
    """Makes databases by driver; calls with one test share the same data."""
    loop = EventLoop()
    made: list[Database] = []

    def make(driver: str) -> Database:
        if driver.startswith("sqlite"):
            url = f"{driver}:///{tmp_path / 'service.db'}"
        else:
            postgres: str = request.getfixturevalue("postgres_url")
            url = postgres.replace("postgresql+psycopg", driver)
        database = Database.from_url(url, loop=loop)
        made.append(database)
        create_tables(database)
        database.run(lambda connection: Base.metadata.create_all(connection))
        return database

    yield make
    for database in made:
        database.dispose()
    loop.close()


def _drivers(*drivers: str) -> list[Any]:
    return [pytest.param(d, marks=pytest.mark.postgres if "postgresql" in d else ()) for d in drivers]


@pytest.fixture(params=_drivers(*SYNCHRONOUS, *ASYNCHRONOUS))
def service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """On every engine; handlers are written once, `Service.listener` gives them the colour of the engine."""
    return Service(make_database(request.param))


@pytest.fixture(params=_drivers(*SYNCHRONOUS))
def sync_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    """For what does not depend on the colour."""
    return Service(make_database(request.param))


@pytest.fixture(params=_drivers(*ASYNCHRONOUS))
def async_service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    return Service(make_database(request.param))


@pytest.fixture
def postgres_service(make_database: MakeDatabase) -> Service:
    return Service(make_database("postgresql+psycopg"))
