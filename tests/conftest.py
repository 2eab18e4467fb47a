"""Fixtures that every test may ask for: real servers, fresh databases, unique topic names."""

from __future__ import annotations

import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url

from tests.services import (
    AnyMySQLServer,
    FreshDatabases,
    FreshMySQLDatabases,
    KafkaBroker,
    KafkaCluster,
    MariadbServer,
    MySQLServer,
    PostgresServer,
    ServiceUnavailable,
)
from tests.services.__main__ import running_kafka, running_mariadb, running_mysql, running_postgres
from tests.services.missing import cannot

# How long an example takes says how busy the machine is; in CI every run tries the same examples.
settings.register_profile(
    "streambind",
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("streambind")

NEEDS_KAFKA = {"kafka", "own_kafka", "kafka_cluster"}
NEEDS_POSTGRES = {"postgres", "postgres_url", "own_postgres"}
NEEDS_MARIADB = {"mariadb", "mariadb_url", "own_mariadb"}
NEEDS_MYSQL = {"mysql", "mysql_url", "own_mysql"}


def pytest_configure() -> None:
    """Let a termination signal end the session in order, so that no server outlives it."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers they ask for: `pytest -m "not kafka"`."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & NEEDS_KAFKA:
            item.add_marker(pytest.mark.kafka)
        if fixtures & NEEDS_POSTGRES:
            item.add_marker(pytest.mark.postgres)
        if fixtures & NEEDS_MARIADB:
            item.add_marker(pytest.mark.mariadb)
        if fixtures & NEEDS_MYSQL:
            item.add_marker(pytest.mark.mysql)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap address of a real broker, shared by the session: use topics and groups of your own.

    It is that of STREAMBIND_TEST_KAFKA, else of `make kafka-up`, else of a broker started for the session.
    """
    if named := os.environ.get("STREAMBIND_TEST_KAFKA"):
        _require_listening("STREAMBIND_TEST_KAFKA", *_host_and_port(named.split(",")[0]))
        yield named
    elif running := running_kafka():
        yield running
    else:
        broker = KafkaBroker()
        yield _start(broker)
        broker.discard()


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaBroker]:
    """A broker for the tests of one module that kill, pause or restart it; such a test leaves it running."""
    broker = KafkaBroker()
    _start(broker)
    yield broker
    broker.discard()


@pytest.fixture(scope="module")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """Three nodes for the tests of one module that kill some; such a test leaves them running."""
    cluster = KafkaCluster()
    _start(cluster)
    yield cluster
    cluster.discard()


@pytest.fixture(scope="session")
def postgres() -> Iterator[FreshDatabases]:
    """Fresh databases on a real server, shared by the session.

    It is that of STREAMBIND_TEST_POSTGRES (a URL of a role that may create databases), else of
    `make postgres-up`, else one started for the session.
    """
    if named := os.environ.get("STREAMBIND_TEST_POSTGRES"):
        url = make_url(named)
        _require_listening("STREAMBIND_TEST_POSTGRES", url.host or "127.0.0.1", url.port or 5432)
        yield FreshDatabases(named)
    elif running := running_postgres():
        yield FreshDatabases(running)
    else:
        server = PostgresServer()
        yield FreshDatabases(_start(server))
        server.discard()


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server for the tests of one module that crash or restart it; such a test leaves it running."""
    server = PostgresServer()
    _start(server)
    yield server
    server.discard()


@pytest.fixture
def postgres_url(postgres: FreshDatabases) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, `postgresql+psycopg://...`, dropped after the test."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[FreshMySQLDatabases]:
    """Fresh databases on a real server, shared by the session.

    It is that of STREAMBIND_TEST_MARIADB (a URL of a user that may create databases), else of
    `make mariadb-up`, else one started for the session. A URL that begins with mysql:// or mysql+ may be that of a
    MySQL server: what is tested on MariaDB is then tested on it.
    """
    yield from _mysql_databases("STREAMBIND_TEST_MARIADB", running_mariadb, MariadbServer)


@pytest.fixture(scope="session")
def mysql() -> Iterator[FreshMySQLDatabases]:
    """The same on a MySQL server: of STREAMBIND_TEST_MYSQL, else of `make mysql-up`, else one of the session's."""
    yield from _mysql_databases("STREAMBIND_TEST_MYSQL", running_mysql, MySQLServer)


def _mysql_databases(
    variable: str, running: Callable[[], str | None], server_class: Callable[[], AnyMySQLServer]
) -> Iterator[FreshMySQLDatabases]:
    if named := os.environ.get(variable):
        url = make_url(named)
        _require_listening(variable, url.host or "127.0.0.1", url.port or 3306)
        yield FreshMySQLDatabases(named)
    elif address := running():
        yield FreshMySQLDatabases(address)
    else:
        server = server_class()
        yield FreshMySQLDatabases(_start(server))
        server.discard()


@pytest.fixture(scope="module")
def own_mariadb() -> Iterator[MariadbServer]:
    """A server for the tests of one module that crash or restart it; such a test leaves it running."""
    server = MariadbServer()
    _start(server)
    yield server
    server.discard()


@pytest.fixture(scope="module")
def own_mysql() -> Iterator[MySQLServer]:
    """The same of MySQL's."""
    server = MySQLServer()
    _start(server)
    yield server
    server.discard()


@pytest.fixture
def mariadb_url(mariadb: FreshMySQLDatabases) -> Iterator[str]:
    """The URL of an empty MariaDB database, `mariadb+pymysql://...`, dropped after the test."""
    url = mariadb.new_database()
    yield url
    mariadb.drop_database(url)


@pytest.fixture
def mysql_url(mysql: FreshMySQLDatabases) -> Iterator[str]:
    """The URL of an empty MySQL database, `mysql+pymysql://...`, dropped after the test."""
    url = mysql.new_database()
    yield url
    mysql.drop_database(url)


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic name that no other test uses. The topic itself is not created."""
    test = request.node.name.partition("[")[0].removeprefix("test_")[:60]
    return f"{test}-{uuid.uuid4().hex[:8]}"


def _start(server: KafkaBroker | KafkaCluster | PostgresServer | AnyMySQLServer) -> str:
    """Start `server`; where this machine cannot have it, skip here and fail in CI."""
    try:
        return server.start()
    except ServiceUnavailable as missing:
        cannot(str(missing))


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.strip().rpartition(":")
    return host, int(port)


def _require_listening(variable: str, host: str, port: int) -> None:
    try:
        return socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        reason = str(error)
    pytest.fail(f"{variable} names {host}:{port}, where nothing answers: {reason}", pytrace=False)
