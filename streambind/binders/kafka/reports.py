"""Telling the group what is done: asynchronously, one request at a time, never more than is done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambind.binders.kafka.error_mapping import describe
from streambind.binders.kafka.lanes import KafkaLane
from streambind.binding.binder import Lane
from streambind.failpoints import failpoint

LOG = logging.getLogger("streambind.binders.kafka")

INTERVAL_S = 1.0
SETTLED_INTERVAL_S = 0.1
MESSAGES = 5000


class OffsetReports:
    """Offsets on their way to the group. All methods are called by the poll thread; `acknowledged` from within
    the client's poll.

    Where a database is the authority the reports are a courtesy for tools that show the lag, and a failed one
    is only worth a debug line.
    """

    def __init__(
        self, binding: str, *, state: threading.Condition, courtesy: bool, failed: Callable[[str], None]
    ) -> None:
        self._binding = binding
        self._state = state
        self._level = logging.DEBUG if courtesy else logging.WARNING
        self._failed = failed
        self._lanes: dict[Lane, KafkaLane] = {}
        self._sent_at = 0.0
        self.in_flight = 0
        self.held = False
        """While the broker is away nothing is sent: the client would keep it, and closing would wait for it."""

    def send_if_due(self, client: Consumer, lanes: Iterable[KafkaLane]) -> None:
        """Report what is done since the last time: every second, after many messages, or when nothing is left
        to do just now."""
        since = time.monotonic() - self._sent_at
        if self.held or self.in_flight or since < SETTLED_INTERVAL_S:
            return
        with self._state:
            behind = [lane for lane in lanes if lane.position != lane.reported]
            due = since >= INTERVAL_S or (
                all(not lane.running and not lane.has_work() for lane in behind)
                or sum(lane.position - (lane.reported or 0) for lane in behind) >= MESSAGES
            )
        if behind and due:
            self.send(client, behind)

    def send(self, client: Consumer, lanes: Iterable[KafkaLane]) -> None:
        """Report now what is done of these; returns at once."""
        if self.held:
            return
        with self._state:
            done = [(lane, lane.position) for lane in lanes if lane.position != lane.reported]
        if not done:
            return
        offsets = [TopicPartition(x.lane.destination, x.lane.partition, position) for x, position in done]
        self._lanes.update({lane.lane: lane for lane, _ in done})
        self._sent_at = time.monotonic()
        try:
            client.commit(offsets=offsets, asynchronous=True)
            self.in_flight += 1
        except KafkaException as exc:
            self._complain(exc.args[0])

    def acknowledged(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The client's commit callback."""
        self.in_flight = max(0, self.in_flight - 1)
        failures = [error] if error is not None else [p.error for p in partitions if p.error is not None]
        if failures:
            self._complain(failures[0])
            return
        with self._state:
            for partition in partitions:
                lane = self._lanes.get(Lane(partition.topic, partition.partition))
                if lane is not None:
                    lane.reported = partition.offset
        failpoint("kafka.after_commit")

    def forget(self) -> None:
        """The client is gone, and with it what was on its way."""
        self.in_flight = 0
        self._lanes.clear()

    def _complain(self, error: KafkaError) -> None:
        if error.code() == KafkaError._NO_OFFSET:
            return
        text = f"offsets were not reported: {describe(error)}"
        LOG.log(self._level, "binding %s: %s", self._binding, text)
        if self._level >= logging.WARNING:
            self._failed(text)
