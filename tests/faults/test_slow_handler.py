"""Handlers that take longer than `max.poll.interval.ms`, each in its transaction: the poll thread goes on polling,
so that members stay in the group, nobody else begins what they are at, and the group goes on."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streambind.testing.eventually import eventually
from tests.faults.world import World

CHANGES = 12
INTERVAL_MS = 1_500
SLOW_S = 2.5
WITHIN_S = 60.0
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@ON_REAL_SERVERS
def test_each_event_has_one_effect_though_handlers_outlive_the_poll_interval(fresh: World) -> None:
    """A client with the same settings that is not polled meanwhile is thrown out of its group."""
    assert fresh.source(CHANGES).wait_for_end(WITHIN_S) == 0
    slow = {"SLOW_S": str(SLOW_S), "MAX_POLL_INTERVAL_MS": str(INTERVAL_MS), "MAX_POLL_RECORDS": "3"}
    services = [fresh.effects(name, **slow) for name in ("one", "other")]
    eventually(lambda: [len(each) for each in _members(fresh).values()] == [1, 1], WITHIN_S, services[0].tail)
    members, handled = _members(fresh), fresh.handled()
    naive_group = f"naive-{fresh.group}"
    naive = _naive(fresh, naive_group)
    eventually(
        lambda: naive.poll(0.1) or fresh.binder.owners(naive_group, fresh.topic, 5000), WITHIN_S, "no member"
    )
    eventually(lambda: not fresh.binder.owners(naive_group, fresh.topic, 5000), WITHIN_S, "it stays a member")
    eventually(lambda: fresh.handled() == CHANGES, WITHIN_S, services[0].tail)
    assert handled < CHANGES
    assert _members(fresh) == members
    fresh.wait_until_drained(*services)
    for service in services:
        service.stop()
        assert "not within max.poll.interval" not in service.log.read_text()
    assert fresh.broken_promises() == []


def _members(world: World) -> dict[str, list[TopicPartition]]:
    """Who has what, by the ids that members get when they join."""
    admin = AdminClient({"bootstrap.servers": world.stage.brokers, "log_level": "0"})
    described = admin.describe_consumer_groups([world.group])[world.group].result(WITHIN_S)
    return {each.member_id: each.assignment.topic_partitions for each in described.members}


def _naive(world: World, group: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": world.stage.brokers,
            "group.id": group,
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 300,
            "max.poll.interval.ms": INTERVAL_MS,
            "log_level": 0,
        }
    )
    consumer.subscribe([world.topic])
    return consumer
