"""Which of its partitions a client fetches from."""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import Consumer, TopicPartition

from streambind.binders.kafka.lanes import KafkaLane


class Fetching:
    """Of one client. For the poll thread."""

    def __init__(self, client: Consumer) -> None:
        self._client = client

    def pause(self, lanes: Collection[KafkaLane]) -> None:
        if taken := _taken(lanes):
            self._client.pause(taken)

    def resume(self, lanes: Collection[KafkaLane]) -> None:
        for lane in lanes:
            lane.forget_end()  # Messages may have come; the client tells of the end anew.
        if taken := _taken(lanes):
            self._client.resume(taken)


def _taken(lanes: Collection[KafkaLane]) -> list[TopicPartition]:
    return [TopicPartition(lane.lane.destination, lane.lane.partition) for lane in lanes if lane.taken]
