"""Topics and their settings, and the cluster, asked for outside the data path. Every wait is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streambind.binders.kafka.admin_client import SharedAdminClient, result
from streambind.binders.kafka.error_mapping import UNSUPPORTED
from streambind.binders.kafka.offsets import KafkaOffsets
from streambind.binders.kafka.reachability import require_listener
from streambind.errors import BrokerError, BrokerUnavailableError

_A_TOPIC = "__consumer_offsets"
_NO_ID = "A" * 22
"""A UUID of zeros, in Kafka's notation."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the broker describes it. `id` changes when it is deleted and made again; brokers before Kafka 2.8
    have none."""

    name: str
    partitions: int
    id: str | None


class KafkaAdmin:
    """The topics and the cluster; `offsets`: where partitions and groups are, by the same client. Thread-safe.

    Methods raise as `SharedAdminClient.ask` does.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._client = SharedAdminClient(settings)
        self.offsets = KafkaOffsets(self._client)

    def close(self) -> None:
        self._client.close()

    def topic(self, name: str, timeout_s: float) -> Topic | None:
        """None if there is no such topic. Asking does not create it."""

        def describe(client: AdminClient) -> Any:
            answer = client.describe_topics(TopicCollection([name]), request_timeout=timeout_s)
            return result(answer[name], timeout_s)

        unknown = {KafkaError.UNKNOWN_TOPIC_OR_PART: None}
        described = self._client.ask(f"describing topic {name}", describe, instead=unknown)
        if described is None:
            return None
        identity = str(described.topic_id)
        return Topic(name, len(described.partitions), None if identity == _NO_ID else identity)

    def cluster_id(self, timeout_s: float) -> str | None:
        """Which cluster answers; None if it does not tell."""
        return self._cluster("describing the cluster", timeout_s).cluster_id or None

    def require_listener(self, timeout_s: float) -> None:
        """
        Raises:
            BrokerUnavailableError: nobody listens where the brokers should be.
        """
        require_listener(self._settings["bootstrap.servers"], timeout_s)

    def reachable(self, timeout_s: float) -> None:
        """
        Raises:
            BrokerUnavailableError: nobody listens, or nobody answered in time.
        """
        self.require_listener(timeout_s)
        self._cluster("reaching the broker", timeout_s)

    def _cluster(self, doing: str, timeout_s: float) -> ClusterMetadata:
        """What a broker says of its cluster, and of a topic that no client makes, not to be told of all. Not by
        `describe_cluster`: librdkafka 2.16 ends the process when no broker is in the answer, as while the only
        one is starting or was not heard of by its controller for a while."""
        answer = self._client.ask(doing, lambda client: client.list_topics(_A_TOPIC, timeout=timeout_s))
        if not answer.brokers:
            self._client.let_go()  # It has let go of its addresses itself, and would find nobody again.
            raise BrokerUnavailableError(f"{doing}: no broker of the cluster is at work yet")
        return answer

    def create_topic(self, topic: NewTopic, timeout_s: float) -> bool:
        """False if the broker has no such request; it may then make the topic when it is first used.
        A topic that somebody else made meanwhile counts as created."""

        def create(client: AdminClient) -> bool:
            answer = client.create_topics([topic], request_timeout=timeout_s, operation_timeout=timeout_s)
            result(answer[topic.topic], timeout_s)
            return True

        instead = {**dict.fromkeys(UNSUPPORTED, False), KafkaError.TOPIC_ALREADY_EXISTS: True}
        return self._client.ask(f"creating topic {topic.topic}", create, instead=instead)

    def touch_topic(self, name: str, timeout_s: float) -> bool:
        """Ask for a topic in the way that makes some brokers create it; whether it is there now."""
        found = self._client.ask(
            f"asking for topic {name}",
            lambda client: client.list_topics(name, timeout=timeout_s).topics[name],
            makes_topics=True,
        )
        return found.error is None and len(found.partitions) > 0

    def add_partitions(self, name: str, total: int, timeout_s: float) -> bool:
        """False if the broker has no such request."""

        def add(client: AdminClient) -> bool:
            wanted = [NewPartitions(name, total)]
            answer = client.create_partitions(wanted, request_timeout=timeout_s, operation_timeout=timeout_s)
            result(answer[name], timeout_s)
            return True

        instead = dict.fromkeys(UNSUPPORTED, False)
        return self._client.ask(f"adding partitions to topic {name}", add, instead=instead)

    def max_message_bytes(self, name: str, timeout_s: float) -> int | None:
        """The largest batch that the topic accepts; None if the broker does not tell."""
        value = self._setting(name, "max.message.bytes", timeout_s)
        return None if value is None else int(value)

    def is_compacted(self, name: str, timeout_s: float) -> bool | None:
        """Whether the broker may drop a record once a later one of its key is there; None if it does not tell."""
        try:
            value = self._setting(name, "cleanup.policy", timeout_s)
        except BrokerUnavailableError:
            raise
        except BrokerError:
            return None  # Messages can be handled without this answer.
        return None if value is None else "compact" in value.split(",")

    def _setting(self, name: str, setting: str, timeout_s: float) -> str | None:
        """One of the topic's settings; None if the broker does not tell them, or not us."""
        resource = ConfigResource(ResourceType.TOPIC, name)

        def describe(client: AdminClient) -> Any:
            answer = client.describe_configs([resource], request_timeout=timeout_s)
            return result(answer[resource], timeout_s).get(setting)

        untold = dict.fromkeys((*UNSUPPORTED, KafkaError.TOPIC_AUTHORIZATION_FAILED))
        entry = self._client.ask(f"describing the settings of topic {name}", describe, instead=untold)
        return None if entry is None or entry.value is None else str(entry.value)
