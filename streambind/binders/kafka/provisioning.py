"""Topics as the bindings need them: checked, made, enlarged.

A broker that cannot do it is tolerated by what it answers, never by a time-out.
"""

from __future__ import annotations

import logging
import re
import threading
import time

from confluent_kafka.cimpl import NewTopic

from streambind.binders.kafka.admin import KafkaAdmin, Topic
from streambind.binders.kafka.properties import KafkaBinderProperties, KafkaConsumerProperties, TopicProperties
from streambind.configuration.properties import DeadLetterFormat
from streambind.errors import ConfigurationError, DestinationError

LOG = logging.getLogger("streambind.binders.kafka")
_LOOK_AGAIN_S = 0.1
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")


def checked_topic_name(name: str, binding: str) -> str:
    """The name itself.

    Raises:
        ConfigurationError: no broker would accept it.
    """
    if (fault := _fault(name)) is not None:
        raise ConfigurationError(f"binding {binding}: destination {name!r} {fault}")
    return name


def topic_fault(destination: str, properties: object) -> str | None:
    """Why no broker would accept a topic of that name; a pattern of names is none."""
    is_pattern = isinstance(properties, KafkaConsumerProperties) and properties.destination_is_pattern
    return None if is_pattern else _fault(destination)


def _fault(name: str) -> str | None:
    if _LEGAL.match(name) is not None and name not in (".", ".."):
        return None
    return "is not a topic name; use letters, digits, '.', '_' and '-', at most 249 of them"


def dead_letter_topic(
    destination: str, group: str | None, properties: KafkaConsumerProperties, binding: str | None = None
) -> str | None:
    """Where the dead letters of one destination go; None if the properties do not ask for any.

    Raises:
        ConfigurationError: dead letters need a named group.
    """
    if not properties.enable_dlq:
        return None
    if group is None:
        raise ConfigurationError(
            f"{f'binding {binding}: ' if binding else ''}enableDlq needs a group: dead letters of an anonymous "
            f"subscription to {destination} have nowhere to go; set `group`"
        )
    return properties.dlq_name or properties.dlq_format.destination(destination, group)


def dead_letter_partition(source_partition: int, properties: KafkaConsumerProperties) -> int | None:
    """The same partition as the source's; 0 if there is but one; by key if there are fewer or more."""
    match properties.dlq_partitions:
        case None:
            return source_partition
        case 1:
            return 0
        case _:
            return None


def dead_letter_format(properties: KafkaConsumerProperties) -> DeadLetterFormat:
    """`dlqFormat`."""
    return properties.dlq_format


class Provisioning:
    """Makes sure that topics are there. Blocks for at most a few times `timeout_s`."""

    def __init__(self, admin: KafkaAdmin, properties: KafkaBinderProperties, *, timeout_s: float) -> None:
        self._admin = admin
        self._properties = properties
        self._timeout_s = timeout_s

    def ensure(self, name: str, partitions: int, settings: TopicProperties, *, binding: str) -> Topic | None:
        """The topic, with at least the partitions asked for where that can be had; fewer are a warning, since
        keys keep their partition. None only if the broker makes topics when they are first written to.

        Raises:
            DestinationError: it is missing and may not be made.
            BrokerUnavailableError: there was no answer in time.
        """
        checked_topic_name(name, binding)
        wanted = max(partitions, self._properties.min_partition_count)
        topic = self._admin.topic(name, self._timeout_s)
        if topic is None:
            return self._created(name, wanted, settings, binding)
        if topic.partitions < wanted:
            return self._enlarged(topic, wanted, binding)
        return topic

    def _created(self, name: str, partitions: int, settings: TopicProperties, binding: str) -> Topic | None:
        if not self._properties.auto_create_topics:
            raise DestinationError(
                f"binding {binding}: destination {name} does not exist and autoCreateTopics is false; create it, "
                f"or allow it to be created"
            )
        replication = settings.replication_factor or self._properties.replication_factor
        if settings.replicas_assignment:
            replicas = [settings.replicas_assignment[p] for p in sorted(settings.replicas_assignment)]
            new = NewTopic(name, len(replicas), replica_assignment=replicas, config=dict(settings.properties))
        else:
            new = NewTopic(name, partitions, replication, config=dict(settings.properties))
        if self._admin.create_topic(new, self._timeout_s):
            LOG.info("binding %s: topic %s created with %d partitions", binding, name, partitions)
        elif self._admin.touch_topic(name, self._timeout_s):
            LOG.info("binding %s: the broker cannot create topics on demand; %s was made by asking", binding, name)
        return self._appeared(name)

    def _appeared(self, name: str) -> Topic | None:
        """The topic as soon as the broker that is asked has heard of it."""
        deadline = time.monotonic() + self._timeout_s
        pause = threading.Event()
        while (topic := self._admin.topic(name, self._timeout_s)) is None and time.monotonic() < deadline:
            pause.wait(_LOOK_AGAIN_S)
        return topic

    def _enlarged(self, topic: Topic, wanted: int, binding: str) -> Topic | None:
        if not self._properties.auto_add_partitions:
            LOG.warning(
                "binding %s: topic %s has %d partitions, %d were asked for; add them by hand, or set "
                "autoAddPartitions (keys then change their partition)",
                *(binding, topic.name, topic.partitions, wanted),
            )
            return topic
        if not self._admin.add_partitions(topic.name, wanted, self._timeout_s):
            LOG.warning("binding %s: the broker cannot add partitions to topic %s", binding, topic.name)
            return topic
        LOG.info("binding %s: topic %s enlarged from %d to %d", binding, topic.name, topic.partitions, wanted)
        return self._admin.topic(topic.name, self._timeout_s)
