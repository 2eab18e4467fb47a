"""Broker and database crash and come back while events flow: nothing is lost, doubled or out of order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, prepare
from tests.faults.world import BOTH, World, world
from tests.services import AnyMySQLServer, KafkaBroker, KafkaCluster, PostgresServer

STARTED_S = 40.0
RECOVERED_S = 30.0
TAKEN_OVER_S = 45.0
SOME = 30


@pytest.fixture
def outages(own_kafka: KafkaBroker, own_postgres: PostgresServer, services: Services) -> Iterator[World]:
    """A world on servers that the test may break."""
    yield from _world_on(own_kafka, own_postgres, services)


@pytest.fixture(
    params=[
        pytest.param("own_mariadb", marks=pytest.mark.mariadb),
        pytest.param("own_mysql", marks=pytest.mark.mysql),
    ]
)
def own_server(request: pytest.FixtureRequest) -> AnyMySQLServer:
    """MariaDB, or MySQL."""
    server: AnyMySQLServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def mysql_outages(own_kafka: KafkaBroker, own_server: AnyMySQLServer, services: Services) -> Iterator[World]:
    """The same with these."""
    yield from _world_on(own_kafka, own_server, services)


@pytest.fixture
def cluster_outages(
    kafka_cluster: KafkaCluster, own_postgres: PostgresServer, services: Services
) -> Iterator[World]:
    """The same with three brokers."""
    yield from _world_on(kafka_cluster, own_postgres, services)


def _world_on(
    kafka: KafkaBroker | KafkaCluster, databases: PostgresServer | AnyMySQLServer, services: Services
) -> Iterator[World]:
    def new_database() -> str:
        url = databases.new_database()
        prepare(url)
        return url

    with world(Stage(kafka.address, new_database), services) as made:
        yield made


def test_all_arrives_when_the_broker_is_away_at_the_start(outages: World, own_kafka: KafkaBroker) -> None:
    own_kafka.kill()
    try:
        effects, source = outages.effects(), outages.source(0)
        eventually(lambda: outages.committed() > SOME, STARTED_S, lambda: f"commits wait\n{source.tail()}")
        assert outages.handled() == 0
    finally:
        own_kafka.restart()
    took_s = _wait_for(outages, SOME)
    source.stop()
    outages.wait_until_drained(effects)
    effects.stop()
    assert outages.broken_promises() == []
    _report("the broker came late", took_s)


def test_all_arrives_when_the_broker_is_killed_while_events_flow(outages: World, own_kafka: KafkaBroker) -> None:
    def crash() -> None:
        before = outages.committed()
        own_kafka.kill()
        try:
            eventually(lambda: outages.committed() > before + SOME, STARTED_S, "commits wait for the broker")
        finally:
            own_kafka.restart()

    _flow(outages, crash, what="the broker was killed")


@BOTH
def test_all_arrives_when_the_database_crashes_while_events_flow(
    outages: World, own_postgres: PostgresServer, listener: dict[str, str]
) -> None:
    def crash() -> None:
        own_postgres.crash()
        own_postgres.restart()

    _flow(outages, crash, crash, crash, what="the database crashed", listener=listener)


@BOTH
def test_all_arrives_when_mysql_is_killed_while_events_flow(
    mysql_outages: World, own_server: AnyMySQLServer, listener: dict[str, str]
) -> None:
    def crash() -> None:
        own_server.crash()
        own_server.restart()

    _flow(mysql_outages, crash, crash, crash, what=f"{own_server.backend} was killed", listener=listener)


def test_all_arrives_when_broker_and_database_crash_at_once(
    outages: World, own_kafka: KafkaBroker, own_postgres: PostgresServer
) -> None:
    def crash() -> None:
        own_kafka.kill()
        own_postgres.crash()
        own_postgres.restart()
        own_kafka.restart()

    _flow(outages, crash, what="both crashed")


@pytest.mark.timeout(300)
def test_all_arrives_when_the_leader_is_killed_again_and_again(
    cluster_outages: World, kafka_cluster: KafkaCluster
) -> None:
    """Events flow on while it is away: the others have what it confirmed, and one of them leads."""
    topic = cluster_outages.topic
    cluster_outages.create_topic(2)

    def lose_leader() -> None:
        lost = kafka_cluster.leaders(topic)[0]
        kafka_cluster.nodes[lost].kill()
        try:
            eventually(
                lambda: kafka_cluster.leaders(topic)[0] not in (-1, lost), TAKEN_OVER_S, "nobody else leads"
            )
            wanted = cluster_outages.handled() + SOME
            eventually(
                lambda: cluster_outages.handled() >= wanted, TAKEN_OVER_S, f"it stands still without node {lost}"
            )
        finally:
            kafka_cluster.nodes[lost].restart()
        eventually(lambda: kafka_cluster.is_whole(topic), TAKEN_OVER_S, "the node does not catch up")

    _flow(cluster_outages, lose_leader, lose_leader, lose_leader, what="the leader was killed")


def _flow(
    outages: World, *crashes: Callable[[], None], what: str, listener: Mapping[str, str] | None = None
) -> None:
    """Changes are committed without end while the crashes happen; then all is drained and checked."""
    effects, source = outages.effects(**(listener or {})), outages.source(0)
    eventually(lambda: outages.handled() >= SOME, STARTED_S, lambda: f"{source.tail()}\n{effects.tail()}")
    for crash in crashes:
        crash()
        _report(what, _wait_for(outages, outages.handled() + SOME))
    source.stop()
    outages.wait_until_drained(effects)
    effects.stop()
    assert outages.broken_promises() == []


def _wait_for(outages: World, effects: int) -> float:
    """Until there are so many effects: the seconds that it took."""
    began = time.monotonic()
    eventually(lambda: outages.handled() >= effects, RECOVERED_S, lambda: f"{outages.handled()} of {effects}")
    return time.monotonic() - began


def _report(what: str, took_s: float) -> None:
    """Shown with `pytest -s` or `-rP`: how long the read model stood still once the server was back."""
    print(f"{what}: events flow {took_s:.1f} s after it was back")  # noqa: T201
