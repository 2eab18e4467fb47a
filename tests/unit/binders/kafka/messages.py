"""Messages as the client hands them over."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Message

from streambind.binders.kafka.batch import KafkaMessage
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binding.binder import Lane

LANE = Lane("t", 0)


def message(offset: int, value: bytes | None = b"x", partition: int = 0, topic: str = "t") -> KafkaMessage:
    return Message(topic=topic, partition=partition, offset=offset, value=value, timestamp=(1, 1000 + offset))


def messages(offsets: Iterable[int]) -> list[KafkaMessage]:
    return [message(offset) for offset in offsets]


def lane(position: int = 0, *, worker: int = 0, limits: QueueLimits | None = None) -> KafkaLane:
    return KafkaLane(LANE, position, worker=worker, limits=limits or QueueLimits(low=5, high=10, most=30))
