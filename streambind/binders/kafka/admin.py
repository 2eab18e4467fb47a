"""What is asked of a broker outside the data path: topics, ends, group offsets. Every wait is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streambind.binders.kafka.error_mapping import broker_error, is_passing, kafka_error, unsupported
from streambind.binders.kafka.reachability import require_listener
from streambind.binding.binder import Lane
from streambind.errors import BrokerError, BrokerUnavailableError, LifecycleError, StreambindError

T = TypeVar("T")

_LOOK_AGAIN_S = 0.05
_NO_ID = "A" * 22
"""A UUID of zeros, in Kafka's notation."""
_AT_WORK = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.ILLEGAL_GENERATION)
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
        self._settings = {"log_level": "0", **settings}
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

    def topic(self, name: str, timeout_s: float) -> Topic | None:
        """None if there is no such topic. Asking does not create it."""
        doing = f"describing topic {name}"
        try:
            answer = self._connected().describe_topics(TopicCollection([name]), request_timeout=timeout_s)
            described = _result(answer[name], timeout_s)
        except Exception as exc:
            error = kafka_error(exc)
            if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise self._failure(exc, doing) from exc
        identity = str(described.topic_id)
        return Topic(name, len(described.partitions), None if identity == _NO_ID else identity)

    def cluster_id(self, timeout_s: float) -> str | None:
        """Which cluster answers; None if it does not tell."""
        described = self._ask(
            "describing the cluster", lambda c: c.describe_cluster(request_timeout=timeout_s), timeout_s
        )
        return described.cluster_id or None

    def require_listener(self, timeout_s: float) -> None:
        """Raises:
        BrokerUnavailableError: nobody listens where the brokers should be.
        """
        require_listener(self._settings["bootstrap.servers"], timeout_s)

    def reachable(self, timeout_s: float) -> None:
        """Raises:
        BrokerUnavailableError: nobody listens, or nobody answered in time.
        """
        self.require_listener(timeout_s)
        self._ask("reaching the broker", lambda c: c.describe_cluster(request_timeout=timeout_s), timeout_s)

    def create_topic(self, topic: NewTopic, timeout_s: float) -> bool:
        """False if the broker has no such request; it may then make the topic when it is first used.
        A topic that somebody else made meanwhile counts as created."""
        name = topic.topic
        try:
            answer = self._connected().create_topics(
                [topic], request_timeout=timeout_s, operation_timeout=timeout_s
            )
            _result(answer[name], timeout_s)
        except Exception as exc:
            error = kafka_error(exc)
            if error is not None and error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return True
            if unsupported(exc):
                return False
            raise self._failure(exc, f"creating topic {name}") from exc
        return True

    def touch_topic(self, name: str, timeout_s: float) -> bool:
        """Ask for a topic in the way that makes some brokers create it; whether it is there now."""
        try:
            found = self._connected().list_topics(name, timeout=timeout_s).topics[name]
        except Exception as exc:
            raise self._failure(exc, f"asking for topic {name}") from exc
        return found.error is None and len(found.partitions) > 0

    def add_partitions(self, name: str, total: int, timeout_s: float) -> bool:
        """False if the broker has no such request."""
        try:
            answer = self._connected().create_partitions(
                [NewPartitions(name, total)], request_timeout=timeout_s, operation_timeout=timeout_s
            )
            _result(answer[name], timeout_s)
        except Exception as exc:
            if unsupported(exc):
                return False
            raise self._failure(exc, f"adding partitions to topic {name}") from exc
        return True

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
        try:
            answer = self._connected().describe_configs([resource], request_timeout=timeout_s)
            entry = _result(answer[resource], timeout_s).get(setting)
        except Exception as exc:
            error = kafka_error(exc)
            if unsupported(exc) or (error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED):
                return None
            raise self._failure(exc, f"describing the settings of topic {name}") from exc
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
        answer = self._ask(
            f"reading the offsets of group {group}",
            lambda c: c.list_consumer_group_offsets([request], request_timeout=timeout_s)[group],
            timeout_s,
        )
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
        doing = f"setting the offsets of group {group}"
        try:
            future = self._connected().alter_consumer_group_offsets([request], request_timeout=timeout_s)[group]
            answer = _result(future, timeout_s)
            for partition in answer.topic_partitions or []:
                if partition.error is not None:
                    raise KafkaException(partition.error)
        except Exception as exc:
            error = kafka_error(exc)
            if error is not None and error.code() in _AT_WORK:
                raise LifecycleError(f"group {group} has members at work: stop them first") from exc
            raise self._failure(exc, doing) from exc

    def offsets_at(self, lanes: Collection[Lane], timestamp_ms: int, timeout_s: float) -> dict[Lane, int]:
        """The offsets of the first messages that are not older; the ends where all are."""
        which = OffsetSpec.for_timestamp(timestamp_ms)
        found = self._offsets(lanes, which, timeout_s)
        ends = self.ends([lane for lane, offset in found.items() if offset < 0], timeout_s)
        return {**found, **ends}

    def owners(self, group: str, timeout_s: float) -> dict[Lane, str] | None:
        """Which member holds which partition; None if the broker cannot tell."""
        try:
            answer = self._connected().describe_consumer_groups([group], request_timeout=timeout_s)
            described = _result(answer[group], timeout_s)
        except Exception as exc:
            error = kafka_error(exc)
            if error is not None and error.code() == KafkaError.GROUP_ID_NOT_FOUND:
                return {}
            if unsupported(exc):
                return None
            raise self._failure(exc, f"describing group {group}") from exc
        return {
            Lane(partition.topic, partition.partition): f"{member.client_id} at {member.host.lstrip('/')}"
            for member in described.members
            for partition in (member.assignment.topic_partitions if member.assignment else None) or []
        }

    def _offsets(self, lanes: Collection[Lane], which: OffsetSpec, timeout_s: float) -> dict[Lane, int]:
        if not lanes:
            return {}
        names = ", ".join(sorted({lane.destination for lane in lanes}))
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while True:
            try:
                return self._offsets_now(lanes, which, timeout_s)
            except Exception as exc:
                if not is_passing(exc) or time.monotonic() >= deadline:
                    raise self._failure(exc, f"reading the ends of {names}") from exc
            pause.wait(_LOOK_AGAIN_S)  # a topic that was just made has no leader yet

    def _offsets_now(self, lanes: Collection[Lane], which: OffsetSpec, timeout_s: float) -> dict[Lane, int]:
        wanted: dict[TopicPartition, OffsetSpec] = dict.fromkeys(_partitions(lanes), which)
        committed = IsolationLevel.READ_COMMITTED
        answer = self._connected().list_offsets(wanted, isolation_level=committed, request_timeout=timeout_s)
        return {Lane(p.topic, p.partition): _result(f, timeout_s).offset for p, f in answer.items()}

    def _failure(self, exc: Exception, doing: str) -> StreambindError:
        """What to raise. After a time-out the next request has a client of its own: this one may wait for a
        controller that is gone, whose successor it would hear of in five minutes."""
        error = kafka_error(exc)
        if isinstance(exc, TimeoutError) or (error is not None and error.code() == KafkaError._TIMED_OUT):
            with self._lock:
                self._client = None
        return broker_error(exc, doing)

    def _ask(self, doing: str, request: Callable[[AdminClient], Future[T]], timeout_s: float) -> T:
        try:
            return request(self._connected()).result(timeout=timeout_s + _GRACE_S)
        except Exception as exc:
            raise self._failure(exc, doing) from exc


def _result(future: Any, timeout_s: float) -> Any:
    return future.result(timeout=timeout_s + _GRACE_S)


def _partitions(lanes: Iterable[Lane]) -> list[TopicPartition]:
    return [TopicPartition(lane.destination, lane.partition) for lane in lanes]
