"""kill -9 of a listening service at every point between poll and commit: one effect per event, in order."""

from __future__ import annotations

import pytest

from streambind.testing.chaos import Kind, kinds
from tests.faults.world import WRITTEN, World

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


REPLICA = {"LISTENER": "replica"}
IN_REPLICA = ["replica.after_delete=kill@2", "replica.after_upsert=kill@2"]


@pytest.mark.parametrize(
    ("point", "listener"),
    [*((point, {}) for point in POINTS), *((point, REPLICA) for point in (*POINTS, *IN_REPLICA))],
)
@ON_REAL_SERVERS
def test_each_event_has_one_effect_when_the_listener_is_killed(
    reading: World, point: str, listener: dict[str, str]
) -> None:
    reading.effects(STREAMBIND_FAILPOINTS=point, **listener).wait_for_kill(KILLED_WITHIN_S)
    assert reading.handled() < WRITTEN or point.startswith("kafka.after_commit")
    again = reading.effects(**listener)
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []


@pytest.mark.parametrize("listener", [{}, REPLICA])
def test_each_event_has_one_effect_when_the_listener_is_killed_again_and_again(
    reading: World, listener: dict[str, str]
) -> None:
    for point in POINTS[1:6]:
        reading.effects(STREAMBIND_FAILPOINTS=point, **listener).wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects(**listener)
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
