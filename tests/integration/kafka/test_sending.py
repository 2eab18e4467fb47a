"""What a real broker refuses, and where it puts keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]

from streambind.binders.kafka import KafkaBinder
from streambind.binding.outcome import Failed, Sent
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import WITHIN_S, create_topic, kafka_binder, output

PARTITIONS_OF_4 = Path(__file__).parents[2] / "data" / "spring" / "key-partitions-of-4.json"


@pytest.fixture
def binder(kafka: str) -> Iterator[KafkaBinder]:
    it = kafka_binder(kafka)
    yield it
    it.close(10_000)


def test_keys_go_where_spring_sends_them(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic, 4)
    seen = json.loads(PARTITIONS_OF_4.read_text())
    results = output(binder, topic).send([Message(b"x", key.encode()) for key in seen])
    partitions = [result.partition for result in results if isinstance(result, Sent)]
    assert partitions == [by["legacy"] for by in seen.values()] == [by["modern"] for by in seen.values()]


def test_the_limit_is_read_from_the_topic(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic, 1, **{"max.message.bytes": "20000"})
    limit = output(binder, topic).max_payload_bytes()
    assert limit == 20_000 - 2 * 512


def test_a_limit_of_ones_own_is_kept(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    producer = output(binder, topic, configuration={"max.request.size": 50_000})
    assert producer.max_payload_bytes() == 50_000 - 512
    (result,) = producer.send([Message(bytes(50_000))])
    assert isinstance(result, Failed)


def test_neighbours_of_a_message_that_the_broker_refuses_are_sent(
    kafka: str, binder: KafkaBinder, topic: str
) -> None:
    """The topic's limit was lowered after the output was bound, so that only the broker knows it: it refuses
    whole batches."""
    create_topic(kafka, topic)
    producer = output(binder, topic, batchTimeout="50ms")
    _lower_limit(kafka, topic, 20_000)
    small = [Message(b"%d" % n, b"k") for n in range(50)]
    results = producer.send([*small[:25], Message(bytes(30_000), b"k"), *small[25:]])
    refused = results.pop(25)
    assert isinstance(refused, Failed)
    assert refused.permanent
    assert all(isinstance(result, Sent) for result in results)
    assert sorted(m.payload or b"" for m in binder.read(topic, {0: 0}, 5000)) == sorted(
        m.payload or b"" for m in small
    )


def test_many_small_messages_whose_batch_would_be_too_large_are_sent(
    kafka: str, binder: KafkaBinder, topic: str
) -> None:
    create_topic(kafka, topic, 1, **{"max.message.bytes": "20000"})
    producer = output(binder, topic, batchTimeout="50ms")
    results = producer.send([Message(bytes(100), b"k") for _ in range(500)])
    assert [type(result) for result in results] == [Sent] * 500


def test_a_message_that_cannot_travel_fails_alone(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    unfit: list[Any] = [[("\ud800", b"x")], [("a\0b", b"x")], [(1, b"x")], [("a", 1)]]
    messages = [Message(b"x", b"%d" % n, raw_headers=headers) for n, headers in enumerate(unfit)]
    first, *refused, last = output(binder, topic).send([Message(b"1"), *messages, Message(b"2")])
    assert isinstance(first, Sent)
    assert isinstance(last, Sent)
    assert all(isinstance(result, Failed) and result.permanent for result in refused)
    assert [m.payload for m in binder.read(topic, {0: 0}, 5000)] == [b"1", b"2"]


def _lower_limit(brokers: str, topic: str, limit: int) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(WITHIN_S)

    def is_lower() -> bool:
        (described,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        return bool(described.result(WITHIN_S)["max.message.bytes"].value == str(limit))

    eventually(is_lower, WITHIN_S, "the limit is not lowered")
