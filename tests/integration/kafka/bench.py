"""What tests of the Kafka binder need: topics, bindings, and a store of positions that fences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from streambind.binders.kafka import KAFKA, KafkaBinder, producer
from streambind.binders.kafka.consumer import KafkaConsumerBinding
from streambind.binders.kafka.producer import KafkaProducerBinding
from streambind.binders.kafka.properties import KafkaBinderProperties
from streambind.binding.binder import ConsumerTarget, Deliver, Identity, Lane, Positions, ProducerTarget
from streambind.binding.outcome import Outcome, Seek, Sent
from streambind.configuration.properties import ConsumerProperties, ProducerProperties
from streambind.message import Batch, Message
from streambind.testing.eventually import eventually

WITHIN_S = 30.0
QUICK = {"heartbeat.interval.ms": "300"}


def create_topic(brokers: str, name: str, partitions: int = 1, **settings: str) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result(WITHIN_S)
    eventually(lambda: name in admin.list_topics(timeout=5).topics, WITHIN_S, f"{name} does not appear")


def lower_limit(brokers: str, topic: str, limit: int) -> None:
    set_topic(brokers, topic, "max.message.bytes", str(limit))


def set_topic(brokers: str, topic: str, setting: str, value: str) -> None:
    """Change a setting of a topic, and wait until the broker says so."""
    admin = AdminClient({"bootstrap.servers": brokers})
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(WITHIN_S)

    def is_set() -> bool:
        (described,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        return bool(described.result(WITHIN_S)[setting].value == value)

    eventually(is_set, WITHIN_S, f"{setting} is not {value}")


def without_gapless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: clients go on behind a refused batch."""

    def made(settings: dict[str, Any], **named: Any) -> Producer:
        return Producer({k: v for k, v in settings.items() if k != "enable.gapless.guarantee"}, **named)

    monkeypatch.setattr(producer, "Producer", made)


def kafka_binder(brokers: str, **settings: Any) -> KafkaBinder:
    return KafkaBinder(KafkaBinderProperties.model_validate({"brokers": brokers, **settings}))


def input_target(
    topic: str,
    group: str | None,
    *,
    concurrency: int = 1,
    positions: Positions | None = None,
    binding: str = "in-x",
    **settings: Any,
) -> ConsumerTarget:
    quick = {} if settings.get("groupProtocol") == "consumer" else QUICK
    configuration = {**quick, **settings.pop("configuration", {})}
    return ConsumerTarget(
        binding=binding,
        destinations=(topic,),
        group=group,
        properties=ConsumerProperties(concurrency=concurrency),
        extended=KAFKA.consumer_properties.model_validate({**settings, "configuration": configuration}),
        positions=positions,
    )


def output(
    binder: KafkaBinder, topic: str, *, timeout_ms: int | None = 10_000, partitions: int = 1, **settings: Any
) -> KafkaProducerBinding:
    bound = binder.bind_producer(
        ProducerTarget(
            binding="out-x",
            destination=topic,
            properties=ProducerProperties(partition_count=partitions),
            extended=KAFKA.producer_properties.model_validate(settings),
            timeout_ms=timeout_ms,
        )
    )
    assert isinstance(bound, KafkaProducerBinding)
    return bound


@contextmanager
def bound(binder: KafkaBinder, target: ConsumerTarget, deliver: Deliver) -> Iterator[KafkaConsumerBinding]:
    binding = binder.bind_consumer(target, deliver)
    try:
        yield binding
    finally:
        binding.unbind(10_000)


def send(producer: KafkaProducerBinding, *payloads: bytes | None, partition: int | None = None) -> None:
    results = producer.send([Message(payload, partition=partition) for payload in payloads])
    assert all(isinstance(result, Sent) for result in results), results


def assigned(binding: KafkaConsumerBinding) -> set[int]:
    """The partitions whose start is known."""
    return {state.lane.partition for state in binding.partitions() if state.position is not None}


class Effects:
    """What handlers did, by partition, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_partition: dict[int, list[bytes | None]] = {}
        self.offsets: dict[int, list[int]] = {}
        self.deliveries = 0

    def __call__(self, batch: Batch) -> Outcome:
        self.apply(batch)
        return Outcome(len(batch))

    def apply(self, batch: Batch) -> None:
        with self._lock:
            self.deliveries += 1
            self.by_partition.setdefault(batch.partition, []).extend(batch.payloads())
            self.offsets.setdefault(batch.partition, []).extend(batch.offset(i) for i in range(len(batch)))

    def count(self) -> int:
        with self._lock:
            return sum(map(len, self.by_partition.values()))

    def come(self, count: int, describe: Callable[[], object] = lambda: "") -> None:
        eventually(lambda: self.count() >= count, WITHIN_S, lambda: f"{self.count()} of {count}: {describe()}")


class FencingStore(Effects):
    """Positions and effects that move together or not at all, as in a database."""

    def __init__(self, stored: Mapping[Lane, int] | None = None) -> None:
        super().__init__()
        self.stored = dict(stored or {})
        self.identities: dict[Lane, Identity] = {}
        self.fenced = 0

    def read(self, lanes: Sequence[Lane]) -> Mapping[Lane, int]:
        with self._lock:
            return {lane: self.stored[lane] for lane in lanes if lane in self.stored}

    def adopt(
        self, starts: Mapping[Lane, tuple[int, str]], identities: Mapping[str, Identity]
    ) -> Mapping[Lane, int]:
        with self._lock:
            for lane in starts.keys() - self.stored.keys():
                self.identities[lane] = identities[lane.destination]
            return {lane: self.stored.setdefault(lane, offset) for lane, (offset, _) in starts.items()}

    def identify(self, lanes: Sequence[Lane], identities: Mapping[str, Identity]) -> Mapping[Lane, Identity]:
        with self._lock:
            return {
                lane: self.identities.setdefault(lane, identities[lane.destination])
                for lane in lanes
                if lane in self.stored
            }

    def reset(self, lane: Lane, offset: int, identity: Identity) -> None:
        """What an operator does."""
        with self._lock:
            self.stored[lane] = offset
            self.identities[lane] = identity

    def __call__(self, batch: Batch) -> Outcome:
        lane = Lane(batch.destination, batch.partition)
        with self._lock:
            if self.stored[lane] != batch.position:
                self.fenced += 1
                return Outcome(0, Seek(self.stored[lane]))
            self.stored[lane] = batch.next_offset
        self.apply(batch)
        return Outcome(len(batch))
