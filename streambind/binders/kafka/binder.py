"""One Kafka cluster."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from streambind.binders.kafka.admin import KafkaAdmin
from streambind.binders.kafka.client_settings import (
    SIZE_MARGIN_BYTES,
    admin_settings,
    consumer_settings,
    producer_settings,
)
from streambind.binders.kafka.consumer import KafkaConsumerBinding
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
    Lane,
    ProducerTarget,
)
from streambind.errors import ConfigurationError, LifecycleError
from streambind.message import Message

LOG = logging.getLogger("streambind.binders.kafka")

REQUEST_TIMEOUT_S = 5.0
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
        self._outputs: list[KafkaProducerBinding] = []
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    def bind_consumer(self, target: ConsumerTarget, deliver: Deliver) -> KafkaConsumerBinding:
        extended = _expect(target.extended, KafkaConsumerProperties)
        self._require_open()
        settings = consumer_settings(self._properties, extended, binding=target.binding, group=target.group)
        _tell(settings.notices)
        if extended.destination_is_pattern:
            target = _pattern(target, extended)
            self._admin.reachable(REQUEST_TIMEOUT_S)
        else:
            self._provide_input(target, extended)
        return self._adopt_input(KafkaConsumerBinding(target, settings, self._admin, deliver))

    def bind_producer(self, target: ProducerTarget) -> KafkaProducerBinding:
        extended = _expect(target.extended, KafkaProducerProperties)
        self._require_open()
        settings = producer_settings(
            self._properties, extended, binding=target.binding, timeout_ms=target.timeout_ms
        )
        _tell(settings.notices)
        self._provisioning.ensure(
            target.destination, target.properties.partition_count, extended.topic, binding=target.binding
        )
        limit = settings.max_message_bytes
        if limit is None:
            topic_limit = self._admin.max_message_bytes(target.destination, REQUEST_TIMEOUT_S)
            limit = None if topic_limit is None else max(1000, topic_limit - SIZE_MARGIN_BYTES)
        output = KafkaProducerBinding(target, settings.client, max_message_bytes=limit)
        with self._lock:
            self._outputs = [kept for kept in self._outputs if kept.is_bound]
            self._outputs.append(output)
        output.start()
        return output

    def describe(self, destination: str, timeout_ms: int) -> DestinationInfo | None:
        timeout_s = timeout_ms / 1000
        topic = self._admin.topic(destination, timeout_s)
        if topic is None:
            return None
        lanes = [Lane(destination, partition) for partition in range(topic.partitions)]
        starts = self._admin.starts(lanes, timeout_s)
        ends = self._admin.ends(lanes, timeout_s)
        return DestinationInfo(
            destination,
            topic.partitions,
            {lane.partition: offset for lane, offset in starts.items()},
            {lane.partition: offset for lane, offset in ends.items()},
        )

    def committed(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, int]:
        timeout_s = timeout_ms / 1000
        topic = self._admin.topic(destination, timeout_s)
        if topic is None:
            return {}
        lanes = [Lane(destination, partition) for partition in range(topic.partitions)]
        return {lane.partition: o for lane, o in self._admin.committed(group, lanes, timeout_s).items()}

    def read(self, destination: str, starts: Mapping[int, int], timeout_ms: int) -> Sequence[Message]:
        self._require_open()
        settings = consumer_settings(
            self._properties, KafkaConsumerProperties(), binding=f"reader of {destination}", group=None
        )
        return read_messages(settings.client, destination, starts, timeout_ms / 1000)

    def close(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._lock:
            self._closed = True
            bindings: list[KafkaConsumerBinding | KafkaProducerBinding] = [*self._inputs, *self._outputs]
            self._inputs, self._outputs = [], []
        for binding in bindings:
            binding.unbind(max(0, round((deadline - time.monotonic()) * 1000)))
        self._admin.close()

    def _provide_input(self, target: ConsumerTarget, extended: KafkaConsumerProperties) -> None:
        wanted = max(1, target.properties.instance_count) * target.properties.concurrency
        for destination in target.destinations:
            dead_letters = dead_letter_topic(destination, target.group, extended, target.binding)
            topic = self._provisioning.ensure(destination, wanted, extended.topic, binding=target.binding)
            if dead_letters is not None and topic is not None:
                count = extended.dlq_partitions or topic.partitions
                self._provisioning.ensure(dead_letters, count, TopicProperties(), binding=target.binding)

    def _adopt_input(self, bound: KafkaConsumerBinding) -> KafkaConsumerBinding:
        with self._lock:
            self._inputs = [kept for kept in self._inputs if kept.is_bound]
            self._inputs.append(bound)
        bound.start()
        return bound

    def _require_open(self) -> None:
        if self._closed:
            raise LifecycleError("the Kafka binder is closed; make a new one")


def _pattern(target: ConsumerTarget, extended: KafkaConsumerProperties) -> ConsumerTarget:
    if extended.enable_dlq and extended.dlq_name is None:
        raise ConfigurationError(
            f"binding {target.binding}: enableDlq with destinationIsPattern needs dlqName: the topics are not "
            f"known yet"
        )
    patterns = tuple(name if name.startswith("^") else f"^{name}" for name in target.destinations)
    return ConsumerTarget(
        target.binding, patterns, target.group, target.properties, target.extended, target.positions
    )


def _expect(properties: object, kind: type[P]) -> P:
    assert isinstance(properties, kind), f"the Kafka binder was given {type(properties).__name__}"
    return properties


def _tell(notices: Sequence[str]) -> None:
    for notice in notices:
        LOG.warning("%s", notice)
