"""The one thread that calls the client: it polls, hands on, and carries out what others ask for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from itertools import groupby

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as ClientMessage

from streambind.binders.kafka.assignment import Assignment
from streambind.binders.kafka.batch import KafkaMessage
from streambind.binders.kafka.errands import Errands
from streambind.binders.kafka.error_mapping import describe
from streambind.binders.kafka.fetching import Fetching
from streambind.binders.kafka.lanes import KafkaLane
from streambind.binders.kafka.log_ends import LogEnds
from streambind.binders.kafka.reports import OffsetReports
from streambind.binders.kafka.workers import Workers
from streambind.failpoints import failpoint

LOG = logging.getLogger("streambind.binders.kafka")

POLL_S = 0.1
SHORT_POLL_S = 0.01
PATIENCE_S = 0.25
"""How long a full lane is waited for before the client is told to pause it, which throws away its prefetch."""
LEAVE_S = 1.0
REPORT_WAIT_S = 3.0

_partition = ClientMessage.partition
_topic = ClientMessage.topic
_error = ClientMessage.error


class ClientBroken(Exception):
    """The client cannot go on; another one is needed."""


class PollLoop:
    """One client's life, from subscription to close. Other threads may only ask for `errands`, and `break_off`."""

    def __init__(
        self,
        binding: str,
        client: Consumer,
        *,
        topics: list[str],
        chunk: int,
        state: threading.Condition,
        assignment: Assignment,
        workers: Workers,
        reports: OffsetReports,
        show: Callable[[str], None],
        no_longer_held: Callable[[KafkaLane, str], None],
        stays: bool,
    ) -> None:
        self._binding = binding
        self._client = client
        self._topics = topics
        self._chunk = chunk
        self._state = state
        self._assignment = assignment
        self._workers = workers
        self._reports = reports
        self._show = show
        self._no_longer_held = no_longer_held
        self._stays = stays
        self._one_topic = topics[0] if len(topics) == 1 and not topics[0].startswith("^") else None
        self._ends = LogEnds()
        self._fetching = Fetching(client)
        self.errands = Errands(
            client,
            state=state,
            assignment=assignment,
            workers=workers,
            fetching=self._fetching,
            no_longer_held=no_longer_held,
        )
        self._broken: str | None = None
        self.closed = False

    def break_off(self, text: str) -> None:
        """Have the next turn say that another client is needed; from any thread."""
        self._broken = text

    def subscribe(self) -> None:
        assignment = self._assignment
        self._client.subscribe(
            self._topics, on_assign=assignment.assigned, on_revoke=assignment.revoked, on_lost=assignment.lost
        )

    def turn(self) -> None:
        """Poll once and do what is to be done.

        Raises:
            ClientBroken: another client is needed.
        """
        self.errands.carry_out()
        messages = self._polled()
        if any(map(_error, messages)):
            messages = self._without_errors(messages)
        if len(messages) > 0:
            failpoint("kafka.after_poll")
            self._hand_on(messages)
        if self._broken is not None:
            raise ClientBroken(self._broken)
        self._reports.send_if_due(self._client, self._assignment.lanes.values())
        self._ends.note_if_due(self._client, self._assignment.lanes.values())

    def _polled(self) -> list[KafkaMessage]:
        messages = self._client.consume(self._chunk, 0)
        if len(messages) > 0:
            return messages
        first = self._client.poll(SHORT_POLL_S if self._assignment.is_expectant() else POLL_S)
        if first is None:
            return []
        return [first, *self._client.consume(self._chunk - 1, 0)]

    def _hand_on(self, messages: list[KafkaMessage]) -> None:
        full = []
        start = 0
        with self._state:
            for key, count in self._runs(messages):
                run = messages[start : start + count]
                start += count
                lane = self._assignment.lanes.get(key)
                if lane is None:
                    continue  # fetched before the partition was given back
                if lane.receive(run):
                    self._workers.hand(lane)
                self._workers.read_ahead(lane)
                if lane.is_full():
                    full.append(lane)
        if full:
            self._relieve(full)

    def _without_errors(self, messages: list[KafkaMessage]) -> list[KafkaMessage]:
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            else:
                self._complain(error, message)
        return good

    def _runs(self, messages: list[KafkaMessage]) -> list[tuple[tuple[str, int], int]]:
        """How many messages in a row belong to which partition."""
        if self._one_topic is not None:
            topic = self._one_topic
            partitions = [*map(_partition, messages)]
            if partitions and partitions.count(partitions[0]) == len(partitions):
                return [((topic, partitions[0] or 0), len(partitions))]
            return [((topic, p or 0), len([*run])) for p, run in groupby(partitions)]
        keys = zip(map(_topic, messages), map(_partition, messages), strict=True)
        return [((t or "", p or 0), len([*run])) for (t, p), run in groupby(keys)]

    def _relieve(self, full: list[KafkaLane]) -> None:
        """Let the workers catch up with full lanes, unless one of them idles: what it needs may be next in the
        client's queue. A lane that stays full is paused, and one that overflows is paused at once."""
        lanes = self._assignment.lanes.values()
        with self._state:
            idle = not self._workers.all_busy(lanes)
            if not idle:
                idle = self._state.wait_for(
                    lambda: all(lane.is_drained() for lane in full) or not self._workers.all_busy(lanes),
                    timeout=PATIENCE_S,
                )
            slow = [
                lane for lane in full if not lane.paused and (lane.overflows() or (not idle and lane.is_full()))
            ]
            for lane in slow:
                lane.paused = True
        self._fetching.pause(slow)

    def _complain(self, error: KafkaError, message: KafkaMessage) -> None:
        code = error.code()
        lane = self._assignment.lanes.get((message.topic() or "", message.partition() or 0))
        if code == KafkaError._PARTITION_EOF:
            if lane is not None:
                lane.reached = message.offset()
        elif code == KafkaError._AUTO_OFFSET_RESET:
            if lane is not None:
                self._no_longer_held(lane, describe(error))
        elif code == KafkaError._FATAL or error.fatal():
            self._broken = describe(error)
        else:
            LOG.warning("binding %s: %s", self._binding, describe(error))
            self._show(describe(error))

    # The end

    def drain(self, deadline: float) -> None:
        """Stay a member while running deliveries end, then report what is done and wait until it is known."""
        self._assignment.wait_until = deadline
        self._fetching.pause([lane for lane in self._assignment.lanes.values() if not lane.paused])
        while time.monotonic() < deadline and any(lane.running for lane in self._assignment.lanes.values()):
            self._client.poll(SHORT_POLL_S)
        self._await_reports(deadline)
        self._reports.send(self._client, self._assignment.lanes.values())
        self._await_reports(deadline)

    def _await_reports(self, deadline: float) -> None:
        until = min(deadline, time.monotonic() + REPORT_WAIT_S)
        while self._reports.in_flight and not self._reports.held and time.monotonic() < until:
            self._client.poll(SHORT_POLL_S)

    def leave(self, deadline: float) -> None:
        """Give everything back, then close. A client that closes in mid-rebalance without having left would
        block its group for a session's length."""
        if self._stays:
            self.close()  # a member with an instance id does not leave: it finds its partitions when it is back
            return
        had = bool(self._assignment.lanes or self._assignment.starting)
        self._client.unsubscribe()
        until = min(deadline, time.monotonic() + LEAVE_S)
        while time.monotonic() < until:
            self._client.poll(SHORT_POLL_S)
            if had and not self._assignment.lanes and not self._assignment.starting:
                break
        self.close()

    def close(self) -> None:
        self.closed = True
        try:
            self._client.close()
        except (KafkaException, RuntimeError) as exc:
            LOG.warning("binding %s: closing the client: %s", self._binding, exc)
        self._reports.forget()
        self._assignment.abandon()
