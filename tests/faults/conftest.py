"""The stages of the fault tests, shared by the tests of a module, and the worlds on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.binders.kafka import EmbeddedBroker
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, postgres_databases, sqlite_databases
from tests.faults.world import World, world


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Makes processes; kills them after the test."""
    services = Services(tmp_path)
    yield services
    services.end()


@pytest.fixture(scope="module")
def kafka_and_postgres(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A real broker and a real database server."""
    with postgres_databases(request.getfixturevalue("postgres")) as new_database:
        yield Stage(request.getfixturevalue("kafka"), new_database)


@pytest.fixture(scope="module")
def embedded_and_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The embedded broker and files."""
    with EmbeddedBroker(default_partitions=2) as broker:
        yield Stage(broker.address, sqlite_databases(tmp_path_factory.mktemp("databases")))


@pytest.fixture(scope="module", params=["kafka_and_postgres", "embedded_and_sqlite"])
def stage(request: pytest.FixtureRequest) -> Stage:
    stage: Stage = request.getfixturevalue(request.param)
    return stage


@pytest.fixture
def fresh(stage: Stage, services: Services) -> Iterator[World]:
    """A world in which nothing has happened yet."""
    with world(stage, services) as made:
        yield made
