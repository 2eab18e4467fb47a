"""The Kafka binder keeps the contract of the SPI against a real broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streambind.binders.kafka import KAFKA, KafkaBinder
from streambind.binders.kafka.properties import KafkaBinderProperties
from streambind.configuration.properties import Properties
from streambind.testing.binder_suite import *  # noqa: F403
from streambind.testing.binder_suite import BinderHarness
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import set_topic

WITHIN_S = 10.0


class KafkaHarness(BinderHarness):
    binder_type = KAFKA
    abilities = frozenset(
        {"retention", "holes", "java-partitions", "shut-out", "replacement", "times", "compaction"}
    )
    within_s = 20.0

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._admin = AdminClient({"bootstrap.servers": brokers})

    def binder(self) -> KafkaBinder:
        return KafkaBinder(KafkaBinderProperties.model_validate({"brokers": self._brokers}))

    def consumer_properties(self, **settings: object) -> Properties:
        return super().consumer_properties(configuration={"heartbeat.interval.ms": "300"}, **settings)

    def create(self, destination: str, partitions: int) -> None:
        self._admin.create_topics([NewTopic(destination, partitions, 1)])[destination].result(WITHIN_S)

    def delete_records(self, destination: str, partition: int, before: int) -> None:
        where = TopicPartition(destination, partition, before)
        for deleted in self._admin.delete_records([where]).values():
            deleted.result(WITHIN_S)

    def make_anew(self, destination: str) -> None:
        self._admin.delete_topics([destination])[destination].result(WITHIN_S)
        eventually(
            lambda: destination not in self._admin.list_topics(timeout=5).topics, WITHIN_S, "it does not go away"
        )
        self.create(destination, 1)

    def make_compacted(self, destination: str) -> None:
        set_topic(self._brokers, destination, "cleanup.policy", "compact")

    def leave_hole(self, destination: str, partition: int) -> None:
        producer = Producer({"bootstrap.servers": self._brokers, "transactional.id": self.fresh_name("hole")})
        producer.init_transactions(WITHIN_S)
        producer.begin_transaction()
        producer.produce(destination, b"aborted", partition=partition)
        producer.flush(WITHIN_S)
        producer.abort_transaction(WITHIN_S)


@pytest.fixture
def harness(kafka: str) -> KafkaHarness:
    return KafkaHarness(kafka)
