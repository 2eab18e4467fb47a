"""Where the logs of the assigned partitions end, as far as the client has been told; nobody is asked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streambind.binders.kafka.lanes import KafkaLane

INTERVAL_S = 1.0
"""How old may be what is known."""


class LogEnds:
    """On the poll thread."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def note_if_due(self, client: Consumer, lanes: Iterable[KafkaLane]) -> None:
        """What the broker has said with what was fetched last."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + INTERVAL_S
        for lane in lanes:
            lane.end = _end(client, lane) if lane.taken else None


def _end(client: Consumer, lane: KafkaLane) -> int | None:
    where = TopicPartition(lane.lane.destination, lane.lane.partition)
    with contextlib.suppress(KafkaException):
        known = client.get_watermark_offsets(where, cached=True)
        return known[1] if known is not None and known[1] >= 0 else None
    return None
