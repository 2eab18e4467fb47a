"""One Kafka cluster."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from streambind.binders.kafka.admin import KafkaAdmin, Topic
from streambind.binders.kafka.client_settings import (
    SIZE_MARGIN_BYTES,
    admin_settings,
    consumer_settings,
    producer_settings,
)
from streambind.binders.kafka.consumer import KafkaConsumerBinding
from streambind.binders.kafka.features import CONSUMER_GROUP_HEARTBEAT, offers
from streambind.binders.kafka.fenced_producer import KafkaFencedProducer
from streambind.binders.kafka.pattern import of_pattern
from streambind.binders.kafka.producer import KafkaProducerBinding
from streambind.binders.kafka.properties import (
    KafkaBinderProperties,
    KafkaConsumerProperties,
    KafkaProducerProperties,
    TopicProperties,
)
from streambind.binders.kafka.provisioning import Provisioning, dead_letter_topic
from streambind.binders.kafka.reading import read_messages
from streambind.binding.binder import (
    Capabilities,
    ConsumerTarget,
    Deliver,
    DestinationInfo,
    Identity,
    Lane,
    ProducerTarget,
)
from streambind.errors import BrokerError, DestinationError, LifecycleError
from streambind.message import Message

LOG = logging.getLogger("streambind.binders.kafka")

REQUEST_TIMEOUT_S = 5.0
FENCE_TIMEOUT_S = 10.0
_ROOM_FOR_HEADERS_BYTES = 64 * 1024
_INT_MAX = 2**31 - 1
_CAPABILITIES = Capabilities()

P = TypeVar("P")


class KafkaBinder:
    """A `Binder`. Constructing it opens nothing; the first call connects. Thread-safe."""

    def __init__(self, properties: KafkaBinderProperties) -> None:
        self._properties = properties
        self._admin = KafkaAdmin(admin_settings(properties))
        self._provisioning = Provisioning(self._admin, properties, timeout_s=REQUEST_TIMEOUT_S)
        self._lock = threading.Lock()
        self._inputs: list[KafkaConsumerBinding] = []
        self._outputs: list[KafkaProducerBinding | KafkaFencedProducer] = []
        self._closed = False
        self._answers = False

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    def bind_consumer(self, target: ConsumerTarget, deliver: Deliver) -> KafkaConsumerBinding:
        extended = _expect(target.extended, KafkaConsumerProperties)
        self._require_open()
        settings = consumer_settings(
            self._properties, extended, binding=target.binding, group=target.group, batch=target.batch
        )
        _tell(settings.notices)
        if extended.destination_is_pattern:
            target = of_pattern(target)
        self._admin.reachable(REQUEST_TIMEOUT_S)
        if settings.client["group.protocol"] == "consumer":
            self._require_protocol(target.binding)
        topics = {} if extended.destination_is_pattern else self._provide_input(target, extended)
        bound = KafkaConsumerBinding(target, settings, self._admin, deliver, topics=topics)
        with self._lock:
            self._inputs = [kept for kept in self._inputs if kept.is_bound]
            self._inputs.append(bound)
        bound.start()
        return bound

    def bind_producer(self, target: ProducerTarget) -> KafkaProducerBinding | KafkaFencedProducer:
        extended = _expect(target.extended, KafkaProducerProperties)
        self._require_open()
        settings = producer_settings(
            self._properties, extended, binding=target.binding, timeout_ms=target.timeout_ms
        )
        _tell(settings.notices)
        self._admin.reachable(REQUEST_TIMEOUT_S)
        self._provisioning.ensure(
            target.destination, target.properties.partition_count, extended.topic, binding=target.binding
        )

        def limit() -> int | None:
            if settings.max_message_bytes is not None:
                return settings.max_message_bytes
            topic_limit = self._admin.max_message_bytes(target.destination, REQUEST_TIMEOUT_S)
            return None if topic_limit is None else max(1000, topic_limit - SIZE_MARGIN_BYTES)

        if target.fence is None:
            output = KafkaProducerBinding(target, settings.client, lingers=settings.lingers, limit=limit)
            self._keep(output)
            output.start()
            return output
        fenced = KafkaFencedProducer(target, settings.client, max_message_bytes=limit())
        fenced.start(FENCE_TIMEOUT_S)
        self._keep(fenced)
        return fenced

    def describe(self, destination: str, timeout_ms: int) -> DestinationInfo | None:
        left = _Left(timeout_ms)
        topic = self._asked(destination, left)
        if topic is None:
            return None
        starts = self._admin.offsets.starts(_lanes(topic), left())
        ends = self._admin.offsets.ends(_lanes(topic), left())
        return DestinationInfo(
            destination,
            topic.partitions,
            {lane.partition: offset for lane, offset in starts.items()},
            {lane.partition: offset for lane, offset in ends.items()},
            Identity(self._admin.cluster_id(left()), topic.id),
        )

    def committed(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, int]:
        left = _Left(timeout_ms)
        topic = self._asked(destination, left)
        if topic is None:
            return {}
        committed = self._admin.offsets.committed(group, _lanes(topic), left())
        return {lane.partition: offset for lane, offset in committed.items()}

    def commit(self, group: str, destination: str, offsets: Mapping[int, int], timeout_ms: int) -> None:
        lanes = {Lane(destination, partition): offset for partition, offset in offsets.items()}
        self._admin.offsets.commit(group, lanes, timeout_ms / 1000)

    def owners(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, str] | None:
        owners = self._admin.offsets.owners(group, timeout_ms / 1000)
        if owners is None:
            return None
        return {lane.partition: who for lane, who in owners.items() if lane.destination == destination}

    def offsets_at(self, destination: str, timestamp_ms: int, timeout_ms: int) -> Mapping[int, int]:
        left = _Left(timeout_ms)
        topic = self._asked(destination, left)
        if topic is None:
            raise DestinationError(f"topic {destination} does not exist")
        offsets = self._admin.offsets.offsets_at(_lanes(topic), timestamp_ms, left())
        return {lane.partition: offset for lane, offset in offsets.items()}

    def read(
        self, destination: str, starts: Mapping[int, int], timeout_ms: int, *, each: int | None = None
    ) -> Sequence[Message]:
        self._require_open()
        settings = consumer_settings(
            self._properties, KafkaConsumerProperties(), binding=f"reader of {destination}", group=None
        )
        return read_messages(settings.client, destination, starts, timeout_ms / 1000, each=each)

    def close(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._lock:
            self._closed = True
            bindings = [*self._inputs, *self._outputs]
            self._inputs, self._outputs = [], []
        for binding in bindings:
            binding.unbind(max(0, round((deadline - time.monotonic()) * 1000)))
        self._admin.close()

    def _asked(self, destination: str, left: _Left) -> Topic | None:
        """Before the first question, and after one without an answer, look whether anybody listens: that is told
        at once and in words, where the client would only time out."""
        if not self._answers:
            self._admin.require_listener(left())
        self._answers = False
        topic = self._admin.topic(destination, left())
        self._answers = True
        return topic

    def _require_protocol(self, binding: str) -> None:
        if not offers(admin_settings(self._properties), CONSUMER_GROUP_HEARTBEAT, REQUEST_TIMEOUT_S):
            raise BrokerError(
                f"binding {binding}: this broker does not know groupProtocol=consumer, which Kafka has from 4.0 "
                f"on; set it to classic",
                permanent=True,
            )

    def _provide_input(self, target: ConsumerTarget, extended: KafkaConsumerProperties) -> dict[str, Topic]:
        """The destinations, once they and their dead-letter topics are there."""
        wanted = max(1, target.properties.instance_count) * target.properties.concurrency
        topics: dict[str, Topic] = {}
        for destination in target.destinations:
            topic = self._provisioning.ensure(destination, wanted, extended.topic, binding=target.binding)
            if topic is None:
                continue
            topics[destination] = topic
            if destination in target.replays:
                continue
            dead_letters = dead_letter_topic(destination, target.group, extended, target.binding)
            if dead_letters is not None:
                count = extended.dlq_partitions or topic.partitions
                settings = self._dead_letter_settings(dead_letters, destination)
                self._provisioning.ensure(dead_letters, count, settings, binding=target.binding)
        return topics

    def _dead_letter_settings(self, dead_letters: str, source: str) -> TopicProperties:
        """A missing dead-letter topic is made to take what its source took, and the headers that are added."""
        if self._admin.topic(dead_letters, REQUEST_TIMEOUT_S) is not None:
            return TopicProperties()
        limit = self._admin.max_message_bytes(source, REQUEST_TIMEOUT_S)
        if limit is None:
            return TopicProperties()
        room = min(limit + _ROOM_FOR_HEADERS_BYTES, _INT_MAX)
        return TopicProperties(properties={"max.message.bytes": str(room)})

    def _keep(self, output: KafkaProducerBinding | KafkaFencedProducer) -> None:
        with self._lock:
            self._outputs = [kept for kept in self._outputs if kept.is_bound]
            self._outputs.append(output)

    def _require_open(self) -> None:
        if self._closed:
            raise LifecycleError("the Kafka binder is closed; make a new one")


class _Left:
    """The seconds that are left of a time for several requests, at least a few milliseconds."""

    def __init__(self, timeout_ms: int) -> None:
        self._deadline = time.monotonic() + timeout_ms / 1000

    def __call__(self) -> float:
        return max(0.01, self._deadline - time.monotonic())


def _lanes(topic: Topic) -> list[Lane]:
    return [Lane(topic.name, partition) for partition in range(topic.partitions)]


def _expect(properties: object, kind: type[P]) -> P:
    assert isinstance(properties, kind), f"the Kafka binder was given {type(properties).__name__}"
    return properties


def _tell(notices: Sequence[str]) -> None:
    for notice in notices:
        LOG.warning("%s", notice)
