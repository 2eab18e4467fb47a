"""Of three brokers the one that leads is lost while events flow: nothing is lost, doubled or out of order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, server_databases
from tests.faults.world import World, world
from tests.services import FreshDatabases, KafkaCluster

STARTED_S = 40.0
RECOVERED_S = 45.0
SOME = 30


@pytest.fixture
def on_cluster(kafka_cluster: KafkaCluster, postgres: FreshDatabases, services: Services) -> Iterator[World]:
    with (
        server_databases(postgres) as new_database,
        world(Stage(kafka_cluster.address, new_database), services) as made,
    ):
        yield made


@pytest.mark.timeout(300)
def test_all_arrives_when_the_leader_is_killed_again_and_again(
    on_cluster: World, kafka_cluster: KafkaCluster
) -> None:
    """Events flow on while it is away: the others have what it confirmed, and one of them leads."""
    on_cluster.create_topic(2)
    effects, source = on_cluster.effects(), on_cluster.source(0)
    eventually(lambda: on_cluster.handled() >= SOME, STARTED_S, lambda: f"{source.tail()}\n{effects.tail()}")
    for _ in range(3):
        lost = kafka_cluster.leaders(on_cluster.topic)[0]
        kafka_cluster.nodes[lost].kill()
        try:
            eventually(
                lambda lost=lost: kafka_cluster.leaders(on_cluster.topic)[0] not in (-1, lost),  # type: ignore[misc]
                RECOVERED_S,
                "nobody else leads",
            )
            wanted = on_cluster.handled() + SOME
            eventually(
                lambda wanted=wanted: on_cluster.handled() >= wanted,  # type: ignore[misc]
                RECOVERED_S,
                lambda: f"it stands still without node {lost}\n{source.tail()}\n{effects.tail()}",  # noqa: B023
            )
        finally:
            kafka_cluster.nodes[lost].restart()
        eventually(lambda: kafka_cluster.is_whole(on_cluster.topic), RECOVERED_S, "the node does not catch up")
    source.stop()
    on_cluster.wait_until_drained(effects)
    effects.stop()
    assert on_cluster.broken_promises() == []
