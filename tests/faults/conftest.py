"""The stages of the fault tests, shared by the tests of a module, and the worlds on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.binders.kafka import EmbeddedBroker
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, server_databases, sqlite_databases
from tests.faults.world import WRITTEN, World, world


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Makes processes; kills them after the test."""
    services = Services(tmp_path)
    yield services
    services.end()


@pytest.fixture(scope="module")
def kafka_and_postgres(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A real broker and a real database server."""
    with server_databases(request.getfixturevalue("postgres")) as new_database:
        yield Stage(request.getfixturevalue("kafka"), new_database)


@pytest.fixture(scope="module")
def kafka_and_mariadb(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same with MariaDB."""
    with server_databases(request.getfixturevalue("mariadb")) as new_database:
        yield Stage(request.getfixturevalue("kafka"), new_database)


@pytest.fixture(scope="module")
def embedded_and_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The embedded broker and files."""
    with EmbeddedBroker(default_partitions=2) as broker:
        yield Stage(broker.address, sqlite_databases(tmp_path_factory.mktemp("databases")))


@pytest.fixture(scope="module", params=["kafka_and_postgres", "kafka_and_mariadb", "embedded_and_sqlite"])
def stage(request: pytest.FixtureRequest) -> Stage:
    stage: Stage = request.getfixturevalue(request.param)
    return stage


@pytest.fixture
def fresh(stage: Stage, services: Services) -> Iterator[World]:
    """A world in which nothing has happened yet."""
    with world(stage, services) as made:
        yield made


@pytest.fixture(scope="module")
def written(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A topic full of events, for groups that each begin at its beginning."""
    services = Services(tmp_path_factory.mktemp("written"))
    with world(stage, services) as made:
        try:
            assert made.source(WRITTEN).wait_for_end(60.0) == 0
            yield made
        finally:
            services.end()


@pytest.fixture
def reading(stage: Stage, services: Services, written: World) -> Iterator[World]:
    """A group and a database of its own on the topic that is full of events."""
    with world(stage, services, written=written) as made:
        yield made
