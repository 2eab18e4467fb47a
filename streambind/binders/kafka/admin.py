"""What is asked of a broker outside the data path: topics, ends, group offsets. Every wait is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Never, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streambind.binders.kafka.error_mapping import UNSUPPORTED, broker_error, is_passing, kafka_error
from streambind.binders.kafka.reachability import require_listener
from streambind.binding.binder import Lane
from streambind.errors import BrokerError, BrokerUnavailableError, LifecycleError, StreambindError

T = TypeVar("T")
U = TypeVar("U")

_LOOK_AGAIN_S = 0.05
_A_TOPIC = "__consumer_offsets"
_MAKES_TOPICS = "allow.auto.create.topics"
_NO_ID = "A" * 22
"""A UUID of zeros, in Kafka's notation."""
_LOST = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
"""After these a client may have nobody left to ask."""
_AT_WORK = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.ILLEGAL_GENERATION)
_NONE: Mapping[int, Never] = {}
_GRACE_S = 5.0
"""The request's own time-out answers first; this only bounds a client that does not answer at all."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the broker describes it. `id` changes when it is deleted and made again; brokers before Kafka 2.8
    have none."""

    name: str
    partitions: int
    id: str | None


class KafkaAdmin:
    """One administrative client, made when it is first needed. Thread-safe.

    Methods raise BrokerUnavailableError when there is no answer in time, and what `error_mapping` says
    otherwise.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = {"log_level": "0", **settings, _MAKES_TOPICS: "false"}
        self._lock = threading.Lock()
        self._client: AdminClient | None = None
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._client = None

    def _connected(self) -> AdminClient:
        with self._lock:
            if self._closed:
                raise LifecycleError("the Kafka binder is closed")
            if self._client is None:
                try:
                    self._client = AdminClient(dict(self._settings))
                except Exception as exc:
                    raise broker_error(exc, "connecting to Kafka") from exc
            return self._client

    def _ask(self, doing: str, request: Callable[[AdminClient], T], *, instead: Mapping[int, U] = _NONE) -> T | U:
        """What the request returns. `instead`: what to return if the broker answers with an error of a code."""
        try:
            return request(self._connected())
        except Exception as exc:
            error = kafka_error(exc)
            if error is not None and error.code() in instead:
                return instead[error.code()]
            raise self._failure(exc, doing) from exc

    def topic(self, name: str, timeout_s: float) -> Topic | None:
        """None if there is no such topic. Asking does not create it."""

        def describe(client: AdminClient) -> Any:
            answer = client.describe_topics(TopicCollection([name]), request_timeout=timeout_s)
            return _result(answer[name], timeout_s)

        unknown = {KafkaError.UNKNOWN_TOPIC_OR_PART: None}
        described = self._ask(f"describing topic {name}", describe, instead=unknown)
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
        answer = self._ask(doing, lambda client: client.list_topics(_A_TOPIC, timeout=timeout_s))
        if not answer.brokers:
            self._let_go()  # It has let go of its addresses itself, and would find nobody again.
            raise BrokerUnavailableError(f"{doing}: no broker of the cluster is at work yet")
        return answer

    def create_topic(self, topic: NewTopic, timeout_s: float) -> bool:
        """False if the broker has no such request; it may then make the topic when it is first used.
        A topic that somebody else made meanwhile counts as created."""

        def create(client: AdminClient) -> bool:
            answer = client.create_topics([topic], request_timeout=timeout_s, operation_timeout=timeout_s)
            _result(answer[topic.topic], timeout_s)
            return True

        instead = {**dict.fromkeys(UNSUPPORTED, False), KafkaError.TOPIC_ALREADY_EXISTS: True}
        return self._ask(f"creating topic {topic.topic}", create, instead=instead)

    def touch_topic(self, name: str, timeout_s: float) -> bool:
        """Ask for a topic in the way that makes some brokers create it; whether it is there now."""
        making: dict[str, Any] = {**self._settings, _MAKES_TOPICS: "true"}
        found = self._ask(
            f"asking for topic {name}",
            lambda _: AdminClient(making).list_topics(name, timeout=timeout_s).topics[name],
        )
        return found.error is None and len(found.partitions) > 0

    def add_partitions(self, name: str, total: int, timeout_s: float) -> bool:
        """False if the broker has no such request."""

        def add(client: AdminClient) -> bool:
            wanted = [NewPartitions(name, total)]
            answer = client.create_partitions(wanted, request_timeout=timeout_s, operation_timeout=timeout_s)
            _result(answer[name], timeout_s)
            return True

        instead = dict.fromkeys(UNSUPPORTED, False)
        return self._ask(f"adding partitions to topic {name}", add, instead=instead)

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
            return _result(answer[resource], timeout_s).get(setting)

        untold = dict.fromkeys((*UNSUPPORTED, KafkaError.TOPIC_AUTHORIZATION_FAILED))
        entry = self._ask(f"describing the settings of topic {name}", describe, instead=untold)
        return None if entry is None or entry.value is None else str(entry.value)

    def starts(self, lanes: Collection[Lane], timeout_s: float) -> dict[Lane, int]:
        """The first offsets that the broker still holds."""
        return self._offsets(lanes, OffsetSpec.earliest(), timeout_s)  # type: ignore[no-untyped-call]

    def ends(self, lanes: Collection[Lane], timeout_s: float) -> dict[Lane, int]:
        """Up to where readers see: what an open transaction has sent, and all behind it, is left out."""
        return self._offsets(lanes, OffsetSpec.latest(), timeout_s)  # type: ignore[no-untyped-call]

    def committed(self, group: str, lanes: Collection[Lane], timeout_s: float) -> dict[Lane, int]:
        """What the group has reported; lanes without a report are absent."""
        if not lanes:
            return {}
        request = ConsumerGroupTopicPartitions(group, _partitions(lanes))

        def read(client: AdminClient) -> Any:
            answer = client.list_consumer_group_offsets([request], request_timeout=timeout_s)
            return _result(answer[group], timeout_s)

        answer = self._ask(f"reading the offsets of group {group}", read)
        found = answer.topic_partitions or []
        for partition in found:
            if partition.error is not None:
                raise BrokerError(f"reading the offsets of group {group}: {partition.error}")
        return {Lane(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def commit(self, group: str, offsets: Mapping[Lane, int], timeout_s: float) -> None:
        """Set what a group without members has reported.

        Raises:
            LifecycleError: it has members.
        """
        wanted = [TopicPartition(lane.destination, lane.partition, at) for lane, at in offsets.items()]
        request = ConsumerGroupTopicPartitions(group, wanted)

        def alter(client: AdminClient) -> bool:
            answer = client.alter_consumer_group_offsets([request], request_timeout=timeout_s)
            for partition in _result(answer[group], timeout_s).topic_partitions or []:
                if partition.error is not None:
                    raise KafkaException(partition.error)
            return True

        at_work = dict.fromkeys(_AT_WORK, False)
        if not self._ask(f"setting the offsets of group {group}", alter, instead=at_work):
            raise LifecycleError(f"group {group} has members at work: stop them first")

    def offsets_at(self, lanes: Collection[Lane], timestamp_ms: int, timeout_s: float) -> dict[Lane, int]:
        """The offsets of the first messages that are not older; the ends where all are."""
        which = OffsetSpec.for_timestamp(timestamp_ms)
        found = self._offsets(lanes, which, timeout_s)
        ends = self.ends([lane for lane, offset in found.items() if offset < 0], timeout_s)
        return {**found, **ends}

    def owners(self, group: str, timeout_s: float) -> dict[Lane, str] | None:
        """Which member holds which partition; None if the broker cannot tell."""

        def describe(client: AdminClient) -> Any:
            answer = client.describe_consumer_groups([group], request_timeout=timeout_s)
            return _result(answer[group], timeout_s).members

        instead: dict[int, list[Any] | None] = {**dict.fromkeys(UNSUPPORTED), KafkaError.GROUP_ID_NOT_FOUND: []}
        members = self._ask(f"describing group {group}", describe, instead=instead)
        if members is None:
            return None
        return {
            Lane(partition.topic, partition.partition): f"{member.client_id} at {member.host.lstrip('/')}"
            for member in members
            for partition in (member.assignment.topic_partitions if member.assignment else None) or []
        }

    def _offsets(self, lanes: Collection[Lane], which: OffsetSpec, timeout_s: float) -> dict[Lane, int]:
        if not lanes:
            return {}
        names = ", ".join(sorted({lane.destination for lane in lanes}))
        wanted: dict[TopicPartition, OffsetSpec] = dict.fromkeys(_partitions(lanes), which)
        committed = IsolationLevel.READ_COMMITTED
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()

        def look(client: AdminClient) -> dict[Lane, int]:
            answer = client.list_offsets(wanted, isolation_level=committed, request_timeout=timeout_s)
            return {Lane(p.topic, p.partition): _result(f, timeout_s).offset for p, f in answer.items()}

        def look_until_told(client: AdminClient) -> dict[Lane, int]:
            while True:
                try:
                    return look(client)
                except KafkaException as exc:
                    if not is_passing(exc) or time.monotonic() >= deadline:
                        raise
                pause.wait(_LOOK_AGAIN_S)  # a topic that was just made has no leader yet

        return self._ask(f"reading the ends of {names}", look_until_told)

    def _let_go(self) -> None:
        """The next request has a client of its own."""
        with self._lock:
            self._client = None

    def _failure(self, exc: Exception, doing: str) -> StreambindError:
        """What to raise. After a time-out, or where nobody was reached, the next request has a client of its own:
        this one may wait for a controller that is gone, whose successor it would hear of in five minutes. Whoever
        waits for an answer holds the client as long: its end would be the request's."""
        error = kafka_error(exc)
        if isinstance(exc, TimeoutError) or (error is not None and error.code() in _LOST):
            self._let_go()
        return broker_error(exc, doing)


def _result(future: Any, timeout_s: float) -> Any:
    return future.result(timeout=timeout_s + _GRACE_S)


def _partitions(lanes: Iterable[Lane]) -> list[TopicPartition]:
    return [TopicPartition(lane.destination, lane.partition) for lane in lanes]
