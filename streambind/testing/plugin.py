"""pytest fixtures for applications of streambind: `streams`, `stream_application` and `chaos`.

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

`chaos` runs services in processes of their own and breaks them, and what they talk to, by a seed. Without options
a run takes a few seconds and always has the same seed; `--streambind-chaos=600` takes ten minutes and a new seed,
which the report names; `--streambind-chaos-seed` repeats one.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from streambind.testing.applications import Applications
    from streambind.testing.bookkeeping import Leftovers
    from streambind.testing.chaos import Chaos, Report
    from streambind.testing.streams import Streams

# Everything else is imported when a fixture is asked for: projects that use neither pay nothing.

_ADDRESS = re.compile(r"[^\s:,]+:\d+(,[^\s:,]+:\d+)*\Z")

_SHORT_S = 8.0
_SHORT_SEED = 1
_LONG_S = 60.0
_REPORTS: pytest.StashKey[list[Report]] = pytest.StashKey()
_SESSION_BEGAN: pytest.StashKey[int] = pytest.StashKey()
_TEST_BEGAN: pytest.StashKey[int] = pytest.StashKey()
_AROUND_S = 600.0
"""Beside the faults: the start of servers and services, the drain, the checks."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("streambind")
    text = "broker of the `streams` fixture: memory (default), embedded, or host:port of a Kafka broker"
    group.addoption("--streambind-broker", metavar="BROKER", help=text)
    parser.addini("streambind_broker", text, default="memory")
    text = (
        f"length of each run of the `chaos` fixture ({_LONG_S:g} if no number is given); without it {_SHORT_S:g}"
    )
    group.addoption("--streambind-chaos", metavar="SECONDS", nargs="?", type=float, const=_LONG_S, help=text)
    text = f"seed of the faults; without it a new one for a run with --streambind-chaos, else {_SHORT_SEED}"
    group.addoption("--streambind-chaos-seed", metavar="N", type=int, help=text)
    text = "also write the reports of `chaos` runs to this file, as JSON, one per line"
    group.addoption("--streambind-chaos-report", metavar="FILE", type=Path, help=text)


def pytest_configure(config: pytest.Config) -> None:
    _configured(config)
    config.stash[_REPORTS] = []
    config.stash[_SESSION_BEGAN] = config.stash[_TEST_BEGAN] = time.time_ns()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: what is committed from now on is the test's own."""
    item.config.stash[_TEST_BEGAN] = time.time_ns()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A limit of time for all tests would end a chaos run before its time."""
    if config.pluginmanager.hasplugin("timeout"):
        limit_s = _chaos_seconds(config) + _AROUND_S
        for item in items:
            if "chaos" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(limit_s))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the chaos runs have done, also if all is well."""
    reports = config.stash[_REPORTS]
    if reports:
        terminalreporter.section("streambind chaos")
    for report in reports:
        terminalreporter.write_line(report.text())


@pytest.fixture(scope="session")
def streambind_broker(request: pytest.FixtureRequest) -> str:
    """Which broker `streams` uses: that of `--streambind-broker`. A test module or a conftest.py may define a
    fixture of this name, also one with parameters: each test then runs on each broker."""
    return _configured(request.config)


@pytest.fixture
def streams(
    streambind_broker: str, streambind_leftovers: Leftovers, request: pytest.FixtureRequest
) -> Iterator[Streams]:
    """Runs applications on a broker that belongs to the test alone, waits until nothing is on its way any more,
    and shows what was published. When the test ends, all that runs is stopped."""
    from streambind.testing.stand_in import stand_in
    from streambind.testing.streams import Streams

    stash = request.config.stash
    streambind_leftovers.earlier_ns = range(stash[_SESSION_BEGAN], stash[_TEST_BEGAN])
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


@pytest.fixture
def chaos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chaos]:
    """Runs services in processes of their own, breaks them and what they talk to, and checks what they leave::

        def test_nothing_is_lost(chaos: Chaos) -> None:
            brokers = chaos.broker()
            environment = {"KAFKA_BROKERS": brokers, "DATABASE_URL": chaos.database("shop", "sqlite:///shop.db")}
            chaos.service("lecture", "shop.lecture:stream", environment=environment, instances=2)
            chaos.writer("category", write_categories, environment=environment)
            chaos.run(history)      # a function that returns a History: what was committed, which effects there
            are

    When the test ends, none of the processes is left.
    """
    from streambind.testing.chaos.chaos import Chaos
    from streambind.testing.chaos.schedule import Plan

    config = request.config
    is_long = config.getoption("--streambind-chaos") is not None
    seed = config.getoption("--streambind-chaos-seed")
    if seed is None:
        seed = random.randrange(2**31) if is_long else _SHORT_SEED
    file: Path | None = config.getoption("--streambind-chaos-report")

    def told(report: Report) -> None:
        config.stash[_REPORTS].append(report)
        if file is not None:
            with file.open("a", encoding="utf-8") as lines:
                lines.write(report.as_json() + "\n")

    chaos = Chaos(request.node.name, Plan(_chaos_seconds(config), seed), tmp_path, told=told)
    try:
        yield chaos
    finally:
        chaos.close()


@pytest.fixture(scope="session")
def streambind_leftovers() -> Leftovers:
    """Events that a test left unsent in a database: no later test shall see them."""
    from streambind.testing.bookkeeping import Leftovers

    return Leftovers()


def _chaos_seconds(config: pytest.Config) -> float:
    given: float | None = config.getoption("--streambind-chaos")
    return _SHORT_S if given is None else given


def _configured(config: pytest.Config) -> str:
    """
    Raises:
        pytest.UsageError: the option's value is no broker.
    """
    broker: str = config.getoption("--streambind-broker") or config.getini("streambind_broker")
    if broker not in ("memory", "embedded") and _ADDRESS.match(broker) is None:
        raise pytest.UsageError(f"--streambind-broker={broker}: write memory, embedded or host:port")
    return broker
