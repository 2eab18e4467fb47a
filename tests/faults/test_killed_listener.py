"""kill -9 of a listening service at every point between poll and commit: one effect per event, in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streambind.testing.chaos import Kind, kinds
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage
from tests.faults.world import World, world

CHANGES = 60
KILLED_WITHIN_S = 30.0

POINTS = [
    "kafka.after_poll=kill@1",
    "delivery.after_poll=kill@2",
    "delivery.after_position=kill@2",
    "delivery.in_handler=kill@2",
    "delivery.before_commit=kill@2",
    "delivery.after_commit=kill@2",
    "kafka.after_commit=kill@1",
]

ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def written(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A topic full of events, for groups that each begin at its beginning."""
    services = Services(tmp_path_factory.mktemp("written"))
    with world(stage, services) as made:
        try:
            assert made.source(CHANGES).wait_for_end(60.0) == 0
            yield made
        finally:
            services.end()


@pytest.fixture
def reading(stage: Stage, services: Services, written: World) -> Iterator[World]:
    """A group and a database of its own on the topic that is full of events."""
    with world(stage, services, written=written) as made:
        yield made


@pytest.mark.parametrize("point", POINTS)
@ON_REAL_SERVERS
def test_each_event_has_one_effect_when_the_listener_is_killed(reading: World, point: str) -> None:
    reading.effects(STREAMBIND_FAILPOINTS=point).wait_for_kill(KILLED_WITHIN_S)
    assert reading.handled() < CHANGES or point.startswith("kafka.after_commit")
    again = reading.effects()
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []


def test_each_event_has_one_effect_when_the_listener_is_killed_again_and_again(reading: World) -> None:
    for point in POINTS[1:6]:
        reading.effects(STREAMBIND_FAILPOINTS=point).wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects()
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_a_listener_that_trusts_the_brokers_offsets_only(reading: World) -> None:
    mutant = {"LISTENER": "offsets-only"}
    killed = reading.effects(STREAMBIND_FAILPOINTS="delivery.in_handler=kill@2", **mutant)
    killed.wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects(**mutant)
    reading.wait_until_drained(again, by_offsets=True)
    again.stop()
    assert kinds(reading.broken_promises()) == {Kind.TWICE}


@ON_REAL_SERVERS
def test_the_checker_rejects_a_delivery_that_moves_the_position_first(reading: World) -> None:
    mutant = {"LISTENER": "position-first"}
    killed = reading.effects(STREAMBIND_FAILPOINTS="delivery.after_position=kill@2", **mutant)
    killed.wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects(**mutant)
    reading.wait_until_drained(again)
    again.stop()
    assert Kind.LOST in kinds(reading.broken_promises())
