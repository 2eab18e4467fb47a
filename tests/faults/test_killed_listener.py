"""kill -9 of a listening service at every point between poll and commit: one effect per event, in order."""

from __future__ import annotations

import pytest

from streambind.testing.chaos import Kind, kinds
from tests.faults.world import BOTH, REPLICA, WRITTEN, World

KILLED_WITHIN_S = 30.0

POINTS = [
    "kafka.after_poll=kill@1",
    "delivery.after_poll=kill@2",
    "delivery.after_position=kill@2",
    "delivery.in_handler=kill@2",
    "delivery.before_numbers=kill@2",
    "delivery.before_commit=kill@2",
    "delivery.after_commit=kill@2",
    "kafka.after_commit=kill@1",
]

ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


PUBLISHED_REPLICA = {"LISTENER": "published-replica", "SPRING_PROFILES_ACTIVE": "published"}
IN_PUBLISHED_REPLICA = [
    "capture.before_rows=kill@9",
    "capture.after_rows=kill@9",
    "delivery.before_numbers=kill@2",
    "delivery.before_commit=kill@2",
    "delivery.after_commit=kill@2",
]
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
    assert reading.torn() == []
    again = reading.effects(**listener)
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []


@BOTH
@pytest.mark.timeout(300)
def test_each_event_has_one_effect_when_the_listener_is_killed_again_and_again(
    reading: World, listener: dict[str, str]
) -> None:
    for point in POINTS[1:7]:
        reading.effects(STREAMBIND_FAILPOINTS=point, **listener).wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects(**listener)
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []


@pytest.mark.parametrize("point", IN_PUBLISHED_REPLICA)
@ON_REAL_SERVERS
def test_a_replica_that_is_published_in_turn_passes_each_event_on_once_when_it_is_killed(
    reading: World, point: str
) -> None:
    reading.effects(STREAMBIND_FAILPOINTS=point, **PUBLISHED_REPLICA).wait_for_kill(KILLED_WITHIN_S)
    assert reading.torn() == []
    assert reading.passed_on() == reading.handled() < WRITTEN
    again = reading.effects(**PUBLISHED_REPLICA)
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []
    assert reading.passed_on() == WRITTEN


@ON_REAL_SERVERS
@pytest.mark.timeout(300)
def test_a_listener_is_killed_again_and_again_with_the_messages_of_several_partitions_in_one_transaction(
    fresh: World,
) -> None:
    fresh.create_topic(partitions=8)
    source = fresh.source(0)
    for point in ("delivery.together=kill@2", *(point.replace("@2", "@9") for point in POINTS[2:7])):
        fresh.effects(STREAMBIND_FAILPOINTS=point).wait_for_kill(KILLED_WITHIN_S)
    source.stop()
    again = fresh.effects()
    fresh.wait_until_drained(again)
    again.stop()
    assert fresh.broken_promises() == []


@BOTH
@ON_REAL_SERVERS
@pytest.mark.timeout(300)
def test_one_instance_is_killed_again_and_again_while_another_goes_on(
    fresh: World, listener: dict[str, str]
) -> None:
    fresh.create_topic(partitions=2)  # one for each
    source, other = fresh.source(0), fresh.effects("other", **listener)
    for point in POINTS[1:7]:
        killed = fresh.effects("killed", STREAMBIND_FAILPOINTS=point, **listener)
        killed.wait_for_kill(KILLED_WITHIN_S)
        assert fresh.torn() == []
    source.stop()
    fresh.wait_until_drained(other)
    other.stop()
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_the_look_at_rows_and_effects_rejects_a_replica_that_writes_rows_in_another_transaction(
    reading: World,
) -> None:
    mutant = {"LISTENER": "replica-written-elsewhere", "STREAMBIND_FAILPOINTS": "delivery.before_commit=kill@2"}
    torn = []
    for _ in range(5):  # A batch may leave rows as they were: of an item that comes and goes in it.
        reading.effects(**mutant).wait_for_kill(KILLED_WITHIN_S)
        torn += reading.torn()
    assert torn != []


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
