"""The offsets of partitions and groups as a broker knows them. Every wait is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streambind.binders.kafka.admin_client import SharedAdminClient, result
from streambind.binders.kafka.error_mapping import UNSUPPORTED, is_passing
from streambind.binding.binder import Lane
from streambind.errors import BrokerError, LifecycleError

_LOOK_AGAIN_S = 0.05
_AT_WORK = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.ILLEGAL_GENERATION)


class KafkaOffsets:
    """Asks by the administrative client. Methods raise as `SharedAdminClient.ask` does."""

    def __init__(self, client: SharedAdminClient) -> None:
        self._client = client

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
            return result(answer[group], timeout_s)

        answer = self._client.ask(f"reading the offsets of group {group}", read)
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
            for partition in result(answer[group], timeout_s).topic_partitions or []:
                if partition.error is not None:
                    raise KafkaException(partition.error)
            return True

        at_work = dict.fromkeys(_AT_WORK, False)
        if not self._client.ask(f"setting the offsets of group {group}", alter, instead=at_work):
            raise LifecycleError(f"group {group} has members at work: stop them first")

    def offsets_at(self, lanes: Collection[Lane], timestamp_ms: int, timeout_s: float) -> dict[Lane, int]:
        """The offsets of the first messages that are not older; the ends where all are."""
        # Numbers below zero mean other things: -1 is the end.
        which = OffsetSpec.for_timestamp(max(0, timestamp_ms))
        found = self._offsets(lanes, which, timeout_s)
        ends = self.ends([lane for lane, offset in found.items() if offset < 0], timeout_s)
        return {**found, **ends}

    def owners(self, group: str, timeout_s: float) -> dict[Lane, str] | None:
        """Which member holds which partition; None if the broker cannot tell."""

        def describe(client: AdminClient) -> Any:
            answer = client.describe_consumer_groups([group], request_timeout=timeout_s)
            return result(answer[group], timeout_s).members

        instead: dict[int, list[Any] | None] = {**dict.fromkeys(UNSUPPORTED), KafkaError.GROUP_ID_NOT_FOUND: []}
        members = self._client.ask(f"describing group {group}", describe, instead=instead)
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
            return {Lane(p.topic, p.partition): result(f, timeout_s).offset for p, f in answer.items()}

        def look_until_told(client: AdminClient) -> dict[Lane, int]:
            while True:
                try:
                    return look(client)
                except KafkaException as exc:
                    if not is_passing(exc) or time.monotonic() >= deadline:
                        raise
                pause.wait(_LOOK_AGAIN_S)  # a topic that was just made has no leader yet

        return self._client.ask(f"reading the ends of {names}", look_until_told)


def _partitions(lanes: Iterable[Lane]) -> list[TopicPartition]:
    return [TopicPartition(lane.destination, lane.partition) for lane in lanes]
