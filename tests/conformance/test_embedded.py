"""The Kafka binder keeps the contract of the SPI against the broker that the client carries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streambind.binders.kafka import KAFKA, EmbeddedBroker, KafkaBinder
from streambind.binders.kafka.properties import KafkaBinderProperties
from streambind.configuration.properties import Properties
from streambind.testing.binder_suite import *  # noqa: F403
from streambind.testing.binder_suite import BinderHarness


class EmbeddedHarness(BinderHarness):
    binder_type = KAFKA
    abilities = frozenset({"outages", "retention", "java-partitions"})

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker

    def binder(self) -> KafkaBinder:
        return KafkaBinder(KafkaBinderProperties.model_validate({"brokers": self._broker.address}))

    def consumer_properties(self, **settings: object) -> Properties:
        # This broker gives a classic group its session time-out less a second for every rebalance.
        quick = {"session.timeout.ms": "1500", "heartbeat.interval.ms": "200"}
        return super().consumer_properties(configuration=quick, **settings)

    def create(self, destination: str, partitions: int) -> None:
        self._broker.create_topic(destination, partitions)

    def break_broker(self) -> None:
        self._broker.go_away()

    def heal_broker(self) -> None:
        self._broker.come_back()

    def delete_records(self, destination: str, partition: int, before: int) -> None:
        self._broker.delete_records(destination, partition, before)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def harness(broker: EmbeddedBroker) -> EmbeddedHarness:
    return EmbeddedHarness(broker)
