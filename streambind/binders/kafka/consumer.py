"""An input at work on Kafka."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambind.back_off import BackOff
from streambind.binders.kafka.admin import KafkaAdmin, Topic
from streambind.binders.kafka.assignment import REVOKE_WAIT_S, Assignment
from streambind.binders.kafka.client_log import ClientLog
from streambind.binders.kafka.client_settings import ConsumerSettings
from streambind.binders.kafka.error_mapping import broker_error, describe, is_outage
from streambind.binders.kafka.identity import TopicIdentities
from streambind.binders.kafka.inquiries import Inquiries, Start
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binders.kafka.poll_loop import ClientBroken, PollLoop
from streambind.binders.kafka.reader_thread import ReaderThread
from streambind.binders.kafka.reports import OffsetReports
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import ConsumerTarget, Deliver, Lane, PartitionState

LOG = logging.getLogger("streambind.binders.kafka")

_CHUNK = 500
"""Messages per call of the client: many at once are out of the processor's cache before they are handled."""
_OUTAGE, _STARTS = "outage", "starts"
_UNKNOWN_TOPIC = "UNKNOWN_TOPIC_OR_PART"
_FIRST_BACK_OFF_S = 1.0
_MAX_BACK_OFF_S = 30.0


class KafkaConsumerBinding:
    """A `ConsumerBinding`: one poll thread, `concurrency` workers, one thread that asks where to start.

    The poll thread makes every call of the client; other threads set flags. A client that breaks is replaced,
    with back-off, until `unbind`.
    """

    def __init__(
        self,
        target: ConsumerTarget,
        settings: ConsumerSettings,
        admin: KafkaAdmin,
        deliver: Deliver,
        *,
        topics: Mapping[str, Topic],
    ) -> None:
        self._target = target
        self._settings = settings
        self._state = threading.Condition()
        self._last_error: str | None = None
        self._passing: dict[str, str] = {}
        self._stop = threading.Event()
        self._deadline = 0.0
        binding = target.binding
        self._workers = Workers(
            binding,
            deliver,
            count=target.properties.concurrency,
            batch=settings.max_poll_records,
            joins=target.joins,
            state=self._state,
            finished=self._finished,
            reader=ReaderThread(binding, target.readers) if target.readers else None,
        )
        self._inquiries = Inquiries(
            binding,
            admin,
            group=settings.group,
            policy=settings.start,
            positions=target.positions,
            identities=TopicIdentities(admin, topics),
            found=self._found,
            failed=self._not_found,
            reached=self._reached,
            remade=self._remade,
            present=self._present,
            resting=lambda: self._assignment.resting(),
            moved=lambda lanes: self._loop.errands.doubt(lanes),
        )
        self._reports = OffsetReports(
            binding, state=self._state, courtesy=target.positions is not None, failed=self.show
        )
        self._assignment = Assignment(
            binding,
            state=self._state,
            limits=QueueLimits.around(settings.max_poll_records),
            workers=self._workers,
            inquiries=self._inquiries,
            reports=self._reports,
            troubles=self,
            revoke_wait_s=_revoke_wait_s(settings),
        )
        self._loop = self._new_loop()
        self._thread = threading.Thread(target=self._run, name=f"streambind-{binding}-poll", daemon=True)

    def start(self) -> None:
        self._workers.start()
        self._inquiries.start()
        self._thread.start()

    @property
    def is_bound(self) -> bool:
        return not self._stop.is_set()

    # ConsumerBinding

    def pause(self) -> None:
        with self._state:
            self._workers.held = True

    def resume(self) -> None:
        with self._state:
            self._workers.held = False
            for lane in self._assignment.lanes.values():
                if lane.schedule():
                    self._workers.hand(lane)

    def partitions(self) -> Sequence[PartitionState]:
        if self._stop.is_set():
            return []
        states = self._assignment.states()
        if self._workers.held or _OUTAGE in self._passing:
            return [replace(state, lag=None) for state in states]  # Where the logs end now, nobody can say.
        return states

    def last_error(self) -> str | None:
        return next(iter([*self._passing.values()]), None) or self._last_error

    def away(self) -> str | None:
        return self._passing.get(_OUTAGE)

    def unbind(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._state:
            if not self._stop.is_set():
                self._deadline = deadline
                self._workers.stop()
                self._inquiries.stop()
                self._stop.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._inquiries.join(deadline)
        if not self._workers.join(deadline):
            LOG.warning(
                "binding %s: a delivery still runs after the %d ms that it had; what it does no longer counts",
                *(self._target.binding, timeout_ms),
            )

    # Troubles

    def show(self, text: str) -> None:
        self._last_error = text

    def broken(self, text: str) -> None:
        self._loop.break_off(text)

    # Called by other threads of this binding

    def _finished(self, lane: KafkaLane) -> None:
        if lane.stalled is not None:
            self.show(f"{lane.lane.destination}[{lane.lane.partition}] stopped: {lane.stalled}")
        self._loop.errands.calls_for(lane)

    def _found(self, starts: Mapping[Lane, Start]) -> None:
        self._passing.pop(_STARTS, None)
        self._loop.errands.found(starts)

    def _not_found(self, lanes: Collection[Lane], text: str) -> None:
        if self._passing.get(_STARTS) != text:
            LOG.warning("binding %s: where to start is not known yet: %s", self._target.binding, text)
        self._passing[_STARTS] = text
        with self._state:
            for lane in lanes:
                if lane in self._assignment.starting:
                    self._assignment.starting[lane] = text

    def _reached(self) -> None:
        LOG.info("binding %s: the broker can be reached again", self._target.binding)
        with self._state:
            for lane in self._assignment.lanes.values():
                lane.forget_end()
        self._passing.pop(_OUTAGE, None)
        self._reports.held = False
        self._loop.errands.look_again()

    def _remade(self, destinations: Collection[str]) -> None:
        with self._state:
            lanes = [lane.lane for lane in self._assignment.lanes.values()]
        self._loop.errands.doubt([lane for lane in lanes if lane.destination in destinations])

    def _present(self, destinations: Collection[str]) -> None:
        """Of a topic that is back the client says nothing to a member that gets no partition of it."""
        if set(self._target.destinations) <= set(destinations) and _UNKNOWN_TOPIC in (self._last_error or ""):
            self._last_error = None

    # The poll thread

    def _run(self) -> None:
        back_off = BackOff(first_s=_FIRST_BACK_OFF_S, longest_s=_MAX_BACK_OFF_S)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._loop.subscribe()
                self._assignment.joins()
                while not self._stop.is_set():
                    self._loop.turn()
                    self._assignment.tell_if_waiting()
            except Exception as exc:
                if not isinstance(exc, KafkaException | ClientBroken):
                    LOG.exception("binding %s: polling failed", self._target.binding)
                self._loop.close()
                if time.monotonic() - began > _MAX_BACK_OFF_S:
                    back_off.succeed()
                self._replace(exc, back_off.fail())
        if self._loop.closed:
            return
        try:
            self._loop.drain(self._deadline)
            self._loop.leave(self._deadline)
        except Exception:
            LOG.exception("binding %s: leaving the group failed", self._target.binding)
            self._loop.close()

    def _replace(self, exc: Exception, back_off_s: float) -> None:
        text = f"the Kafka client broke ({exc}); a new one follows in {back_off_s:g} s"
        LOG.error("binding %s: %s", self._target.binding, text)
        self.show(text)
        while not self._stop.wait(back_off_s):
            try:
                self._loop = self._new_loop()
            except Exception as again:  # noqa: BLE001 - shown, and tried again
                self.show(f"no new Kafka client: {again}")
                continue
            return

    def _new_loop(self) -> PollLoop:
        target = self._target
        try:
            client = Consumer(
                {**self._settings.client, "error_cb": self._on_error, "on_commit": self._on_commit},
                logger=ClientLog(),
            )
        except (KafkaException, ValueError, TypeError) as exc:
            raise broker_error(exc, f"binding {target.binding}: the consumer's settings are refused") from exc
        return PollLoop(
            target.binding,
            client,
            topics=list(target.destinations),
            chunk=_CHUNK,
            state=self._state,
            assignment=self._assignment,
            workers=self._workers,
            reports=self._reports,
            show=self.show,
            no_longer_held=self._no_longer_held,
            stays="group.instance.id" in self._settings.client,
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._loop.break_off(describe(error))
        elif is_outage(error):
            if _OUTAGE not in self._passing:
                LOG.warning("binding %s: the broker is away: %s", self._target.binding, describe(error))
            self._passing[_OUTAGE] = f"the broker is away: {describe(error)}"
            self._reports.held = True
            self._inquiries.watch()
        else:
            LOG.warning("binding %s: %s", self._target.binding, describe(error))
            self.show(describe(error))

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._reports.acknowledged(error, partitions)

    def _no_longer_held(self, lane: KafkaLane, why: str) -> None:
        if lane.stalled is not None and not lane.lost:
            return
        if not lane.lost:
            LOG.info(
                "binding %s: %s[%d] cannot go on at %d: %s",
                *(self._target.binding, lane.lane.destination, lane.lane.partition, lane.expected, why),
            )
        self._assignment.reset(lane)


def _revoke_wait_s(settings: ConsumerSettings) -> float:
    """While the poll thread waits for a delivery to end it does not poll, and may not miss an interval."""
    return min(REVOKE_WAIT_S, int(settings.client.get("max.poll.interval.ms", "300000")) / 2000)
