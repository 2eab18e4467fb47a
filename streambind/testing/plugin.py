"""pytest fixtures for applications of streambind: `streams` and `stream_application`.

Installed with streambind, nothing to import::

    def test_a_category_reaches_the_lectures(streams: Streams) -> None:
        with streams.run(category.stream), streams.run(lecture.stream):
            with category.Sessions.begin() as session:
                session.add(LectureCategory(category_name="Python"))
            streams.settle()
            assert streams.published("out-categoryChanged", LectureCategoryChanged)[0].category_name == "Python"

`--streambind-broker` (or `streambind_broker` in the ini file) says on which broker: `memory` (the default; no
network, milliseconds), `embedded` (a Kafka broker inside the test's process) or `host:port` of a real one. The
application's configuration stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from streambind.testing.applications import Applications
    from streambind.testing.bookkeeping import Leftovers
    from streambind.testing.streams import Streams

# Everything else is imported when a fixture is asked for: projects that use neither pay nothing.

_ADDRESS = re.compile(r"[^\s:,]+:\d+(,[^\s:,]+:\d+)*\Z")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "broker of the `streams` fixture: memory (default), embedded, or host:port of a Kafka broker"
    parser.getgroup("streambind").addoption("--streambind-broker", metavar="BROKER", help=text)
    parser.addini("streambind_broker", text, default="memory")


def pytest_configure(config: pytest.Config) -> None:
    _configured(config)


@pytest.fixture(scope="session")
def streambind_broker(request: pytest.FixtureRequest) -> str:
    """Which broker `streams` uses: that of `--streambind-broker`. A test module or a conftest.py may define a
    fixture of this name, also one with parameters: each test then runs on each broker."""
    return _configured(request.config)


@pytest.fixture
def streams(streambind_broker: str, streambind_leftovers: Leftovers) -> Iterator[Streams]:
    """Runs applications on a broker that belongs to the test alone, waits until nothing is on its way any more,
    and shows what was published. When the test ends, all that runs is stopped."""
    from streambind.testing.stand_in import stand_in
    from streambind.testing.streams import Streams

    with stand_in(streambind_broker) as broker:
        streams = Streams(broker, streambind_leftovers)
        try:
            yield streams
        finally:
            streams.close()


@pytest.fixture
def stream_application(tmp_path: Path) -> Iterator[Applications]:
    """Makes applications for one test, from YAML in the test itself and with a database of its own: for
    listeners and entities without a web application around them.

    `stream_application(yaml, include=[...])` returns a StreamApplication that is not started; give it to
    `streams.run`. Without `database` it gets a fresh SQLite file; the tables of the `metadata` given are made.
    """
    from streambind.testing.applications import Applications

    applications = Applications(tmp_path)
    try:
        yield applications
    finally:
        applications.close()


@pytest.fixture(scope="session")
def streambind_leftovers() -> Leftovers:
    """Events that a test left unsent in a database: no later test shall see them."""
    from streambind.testing.bookkeeping import Leftovers

    return Leftovers()


def _configured(config: pytest.Config) -> str:
    """
    Raises:
        pytest.UsageError: the option's value is no broker.
    """
    broker: str = config.getoption("--streambind-broker") or config.getini("streambind_broker")
    if broker not in ("memory", "embedded") and _ADDRESS.match(broker) is None:
        raise pytest.UsageError(f"--streambind-broker={broker}: write memory, embedded or host:port")
    return broker
