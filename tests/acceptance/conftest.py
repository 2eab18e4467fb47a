"""The stages that acceptance tests run on, and the processes that they start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.binders.kafka import EmbeddedBroker
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, server_databases, sqlite_databases


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Makes processes; kills them after the test."""
    services = Services(tmp_path)
    yield services
    services.end()


@pytest.fixture
def kafka_and_postgres(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A real broker and a real database server."""
    with server_databases(request.getfixturevalue("postgres")) as new_database:
        yield Stage(request.getfixturevalue("kafka"), new_database)


@pytest.fixture
def embedded_and_sqlite(tmp_path: Path) -> Iterator[Stage]:
    """The embedded broker and files: nothing to install."""
    with EmbeddedBroker() as broker:
        yield Stage(broker.address, sqlite_databases(tmp_path))
