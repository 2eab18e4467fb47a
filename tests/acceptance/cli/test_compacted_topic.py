"""A compacted topic on a real broker: what is left of each key is applied, and `verify` takes it for enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.pair import WITHIN_S, Pair
from tests.integration.kafka.bench import create_topic


@pytest.fixture
def pair(inside: Inside, kafka: str, topic: str, tmp_path: Path) -> Pair:
    it = Pair(inside, kafka, topic, f"sqlite:///{tmp_path / 'source.db'}", f"sqlite:///{tmp_path / 'reader.db'}")
    it.write()
    return it


def records(brokers: str, topic: str, count: int) -> Iterator[Message]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "nobody"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    for _ in range(count):
        record = consumer.poll(WITHIN_S)
        assert record is not None
        yield record
    consumer.close()


def compacted(pair: Pair, policy: str, *kept: int) -> None:
    """Make the topic anew with a cleanup policy, and these of its records: as if a cleaner had been there."""
    sent = list(records(pair.brokers, pair.topic, 7))
    admin = AdminClient({"bootstrap.servers": pair.brokers})
    admin.delete_topics([pair.topic])[pair.topic].result(WITHIN_S)
    eventually(lambda: pair.topic not in admin.list_topics(timeout=5).topics, WITHIN_S, "it does not go away")
    create_topic(pair.brokers, pair.topic, 1, **{"cleanup.policy": policy})
    producer = Producer({"bootstrap.servers": pair.brokers, "enable.idempotence": True})
    for at in kept:
        record = sent[at]
        producer.produce(pair.topic, record.value(), record.key(), headers=record.headers())
    assert producer.flush(WITHIN_S) == 0


def write(pair: Pair) -> None:
    for name in ("a", "b", "c"):
        pair.save(i1=name, i2=name)
    pair.save(i2="d")
    pair.send()


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_what_compaction_leaves_is_enough(pair: Pair, policy: str) -> None:
    write(pair)
    compacted(pair, policy, 1, 4, 6)  # 2#1, 1#3 and 2#4

    before = pair.inside.run("verify", "reader", "in-items", "--source", "source")
    pair.receive(i1="c", i2="d")
    after = pair.inside.run("verify", "reader", "in-items", "--source", "source", "--settled")

    assert after.returncode == 0, after.stdout
    assert "parked" not in after.stdout
    assert before.returncode == 1  # Nobody has looked at the topic's policy yet.


def test_elsewhere_what_is_missing_is_a_gap(pair: Pair) -> None:
    write(pair)
    compacted(pair, "delete", 1, 4, 6)

    reader = pair.reader()
    with reader:
        eventually(
            lambda: (figures := reader.figures("in-items")) and figures.parked == 2,
            WITHIN_S,
            lambda: str(reader.figures("in-items")),
        )
    reader.engine.dispose()
    assert pair.copies() == {2: "a"}
