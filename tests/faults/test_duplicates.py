"""Every record comes one to three times, and then all of them once more from the beginning: one effect each."""

from __future__ import annotations

import random

import pytest
from confluent_kafka import Producer
from sqlalchemy import create_engine, update

from streambind.message import ORIGIN, Message
from streambind.persistence.tables import Tables
from streambind.testing.chaos import Kind, kinds
from tests.faults.world import World

CHANGES = 60
WITHIN_S = 60.0
NO_GUARD = {"SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER_SEQUENCE": "ignore"}
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@pytest.mark.parametrize("listener", [{}, {"LISTENER": "replica"}])
@ON_REAL_SERVERS
def test_records_that_come_again_and_again_have_one_effect(fresh: World, listener: dict[str, str]) -> None:
    _repeat_everything(fresh)
    effects = fresh.effects(**listener)
    fresh.wait_until_drained(effects)
    effects.stop()
    assert fresh.broken_promises() == []

    _begin_anew(fresh)
    again = fresh.effects(**listener)
    fresh.wait_until_drained(again)
    again.stop()
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_a_listener_that_does_not_look_at_numbers(fresh: World) -> None:
    _repeat_everything(fresh)
    effects = fresh.effects(**NO_GUARD)
    fresh.wait_until_drained(effects)
    effects.stop()
    assert Kind.TWICE in kinds(fresh.broken_promises())


def _repeat_everything(fresh: World) -> None:
    """From now on the world reads another topic, which holds each record of its own one to three times."""
    fresh.create_topic(partitions=2)
    assert fresh.source(CHANGES).wait_for_end(WITHIN_S) == 0
    with fresh.stage.reader(fresh.topic) as reader:
        records = reader.read(CHANGES, WITHIN_S)
    chance = random.Random(20)
    written, fresh.topic = fresh.topic, f"{fresh.topic}-repeated"
    fresh.create_topic(partitions=2)
    producer = Producer({"bootstrap.servers": fresh.stage.brokers})
    copies = [record for record in records for _ in range(chance.randint(1, 3))]
    assert len(copies) > CHANGES
    for record in copies:
        headers = [(name, _renamed(name, value, written, fresh.topic)) for name, value in record.raw_headers]
        producer.produce(fresh.topic, record.payload, record.key, partition=_partition(record), headers=headers)
    assert producer.flush(WITHIN_S) == 0


def _renamed(name: str, value: bytes | None, before: str, after: str) -> str | bytes | None:
    """A number counts on its own destination only."""
    return value if name != ORIGIN or value is None else value.replace(before.encode(), after.encode())


def _partition(record: Message) -> int:
    assert record.partition is not None
    return record.partition


def _begin_anew(fresh: World) -> None:
    """Set the group back to the beginning of the log, as an operator might."""
    position = Tables().position
    engine = create_engine(fresh.effects_url)
    with engine.begin() as connection:
        connection.execute(update(position).where(position.c.group_name == fresh.group).values(next_offset=0))
    engine.dispose()
