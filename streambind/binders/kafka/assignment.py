"""The partitions that the group gave to this consumer; everything here happens on the poll thread.

The recipe: a callback of the client never waits for a database and never raises (the client would then assign
at its own offsets). It takes nothing (`incremental_assign([])`), asks for the positions elsewhere, and the poll
loop assigns at explicit offsets when they are known.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition

from streambind.binders.kafka.inquiries import Inquiries, Start
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binders.kafka.reports import OffsetReports
from streambind.binders.kafka.workers import Workers
from streambind.binding.binder import Lane, PartitionState
from streambind.errors import PositionLostError

LOG = logging.getLogger("streambind.binders.kafka")

REVOKE_WAIT_S = 10.0
"""How long a revoked partition waits for its running delivery, so that what it does is still reported."""


QUIET_S = 2.0
"""How long a new member waits for its first partitions before the log says so."""


class Troubles(Protocol):
    """Where what goes wrong is shown."""

    def show(self, text: str) -> None: ...
    def broken(self, text: str) -> None:
        """The client is beyond repair: the poll loop must make another one."""
        ...


class Assignment:
    """Lanes by partition, and partitions that wait for their start. `state` guards both."""

    def __init__(
        self,
        binding: str,
        *,
        state: threading.Condition,
        limits: QueueLimits,
        workers: Workers,
        inquiries: Inquiries,
        reports: OffsetReports,
        troubles: Troubles,
        revoke_wait_s: float = REVOKE_WAIT_S,
    ) -> None:
        self._binding = binding
        self._state = state
        self._limits = limits
        self._workers = workers
        self._inquiries = inquiries
        self._reports = reports
        self._troubles = troubles
        self._revoke_wait_s = revoke_wait_s
        self.lanes: dict[tuple[str, int], KafkaLane] = {}
        self.starting: dict[Lane, str | None] = {}
        self._resetting: dict[Lane, KafkaLane] = {}
        self.wait_until: float | None = None
        self._tell_at: float | None = None

    # Callbacks of the client

    def assigned(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            client.incremental_assign([])
            lanes = [Lane(p.topic, p.partition) for p in partitions]
            with self._state:
                self.starting.update(dict.fromkeys(lanes))
            if lanes:
                self._tell_at = None
                LOG.info("binding %s: assigned %s", self._binding, _names(lanes))
                self._inquiries.ask(lanes)
        except Exception as exc:  # noqa: BLE001 - a callback that raises is assigned at the broker's offsets
            self._troubles.broken(f"partitions could not be taken: {exc}")

    def revoked(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_back(client, partitions, lost=False)

    def lost(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_back(client, partitions, lost=True)

    def _give_back(self, client: Consumer, partitions: list[TopicPartition], *, lost: bool) -> None:
        try:
            names = [Lane(p.topic, p.partition) for p in partitions]
            LOG.info("binding %s: %s %s", self._binding, "lost" if lost else "gave back", _names(names))
            gone = self._drop(names, abandon=lost)
            if not lost:
                self._let_end(gone)
                self._reports.send(client, gone)
            taken = [TopicPartition(x.lane.destination, x.lane.partition) for x in gone if x.taken]
            client.incremental_unassign(taken)  # what was never taken would be refused
        except Exception as exc:  # noqa: BLE001 - nobody above could do anything about it
            self._troubles.broken(f"partitions could not be given back: {exc}")

    def _drop(self, names: Collection[Lane], *, abandon: bool) -> list[KafkaLane]:
        self._inquiries.forget(names)
        gone = []
        with self._state:
            for name in names:
                self.starting.pop(name, None)
                self._resetting.pop(name, None)
                lane = self.lanes.pop((name.destination, name.partition), None)
                if lane is not None:
                    lane.drop(abandon=abandon)
                    gone.append(lane)
        return gone

    def _let_end(self, lanes: Collection[KafkaLane]) -> None:
        bound = time.monotonic() + self._revoke_wait_s
        deadline = bound if self.wait_until is None else min(bound, self.wait_until)
        with self._state:
            self._state.wait_for(
                lambda: not any(lane.running for lane in lanes), timeout=max(0.0, deadline - time.monotonic())
            )
            for lane in lanes:
                if lane.running:
                    lane.abandoned = True
                    LOG.warning(
                        "binding %s: %s[%d] is given back while a delivery still runs; its messages come again "
                        "elsewhere",
                        *(self._binding, lane.lane.destination, lane.lane.partition),
                    )

    # Called on the poll thread

    def joins(self) -> None:
        """The group is being joined: if it gives no partition soon, `tell_if_waiting` says so."""
        self._tell_at = time.monotonic() + QUIET_S

    def tell_if_waiting(self) -> None:
        if self._tell_at is not None and time.monotonic() >= self._tell_at:
            self._tell_at = None
            LOG.info(
                "binding %s: waiting for partitions: the group is being shared out, or its other members hold all",
                self._binding,
            )

    def begin(self, client: Consumer, starts: Mapping[Lane, Start]) -> None:
        """Take partitions at the offsets that were found, as far as they are still ours."""
        for name in starts.keys() & self._resetting.keys():
            self._go_on(client, self._resetting.pop(name), starts[name])
        with self._state:
            ours = {lane: start for lane, start in starts.items() if lane in self.starting}
        good = {lane: start for lane, start in ours.items() if start.lost is None}
        if good:
            client.incremental_assign(
                [TopicPartition(x.destination, x.partition, s.offset) for x, s in good.items()]
            )
        with self._state:
            for lane, start in ours.items():
                del self.starting[lane]
                self.lanes[lane.destination, lane.partition] = self._lane(lane, start)
        for start in ours.values():
            if start.lost is not None:
                LOG.error("%s", start.lost)
                self._troubles.show(str(start.lost))

    def _go_on(self, client: Consumer, lane: KafkaLane, start: Start) -> None:
        name = f"{lane.lane.destination}[{lane.lane.partition}]"
        where = TopicPartition(lane.lane.destination, lane.lane.partition, start.offset)
        if start.lost is not None:
            if not lane.lost:
                LOG.error("%s", start.lost)
                self._troubles.show(str(start.lost))
            with self._state:
                lane.stop(_reason(start.lost), lost=True)
            if lane.taken:
                client.pause([where])
            return
        why = "its position was moved" if start.source == "stored" else "the broker no longer holds what came next"
        LOG.warning(
            "binding %s: %s goes on at %d (%s) instead of %d: %s",
            *(self._binding, name, start.offset, start.source, lane.expected, why),
        )
        if lane.taken:
            client.incremental_unassign([where])
        client.incremental_assign([where])
        client.resume([where])  # it may have been paused when it was lost
        with self._state:
            lane.taken = True
            lane.paused = False
            lane.go_on_at(start.offset)

    def _lane(self, lane: Lane, start: Start) -> KafkaLane:
        worker = self._workers.least_loaded([*self.lanes.values()])
        made = KafkaLane(lane, start.offset, worker=worker, limits=self._limits)
        made.taken = start.lost is None
        if start.source != "latest":  # which must be on record, or a restart would skip what comes until then
            made.reported = start.offset
        if start.lost is not None:
            made.stop(_reason(start.lost), lost=True)
        return made

    def move(self, client: Consumer, lane: KafkaLane) -> None:
        """Bring the client to where the lane seeks."""
        with self._state:
            if lane.dropped or lane.seeking is None:
                return
            offset = lane.seeking
        where = TopicPartition(lane.lane.destination, lane.lane.partition, offset)
        client.incremental_unassign([where])
        client.incremental_assign([where])
        with self._state:
            lane.sought()
            lane.paused = False
        LOG.info(
            "binding %s: %s[%d] goes on at %d", self._binding, lane.lane.destination, lane.lane.partition, offset
        )

    def reset(self, lane: KafkaLane) -> None:
        """What comes next of the lane is no longer there, or its stored position is elsewhere: ask where to go on.
        What is in memory is still delivered."""
        self._resetting[lane.lane] = lane
        self._inquiries.ask([lane.lane], anew=True)

    def resting(self) -> dict[Lane, int | None]:
        """Where the lanes stand that have nothing to do; None for those whose position is lost."""
        with self._state:
            lanes = [lane for lane in self.lanes.values() if lane.is_idle()]
            lost = {lane.lane: None for lane in lanes if lane.lost}
            return {**lost, **{lane.lane: lane.position for lane in lanes if lane.stalled is None}}

    def is_expectant(self) -> bool:
        """Whether a start or a resumption may be due any moment."""
        with self._state:
            return any(why is None for why in self.starting.values()) or any(
                lane.paused and lane.stalled is None for lane in self.lanes.values()
            )

    def abandon(self) -> None:
        """The client is gone: nothing is assigned any more, and what runs no longer counts."""
        with self._state:
            names = [lane.lane for lane in self.lanes.values()] + [*self.starting]
        self._drop(names, abandon=True)

    def states(self) -> list[PartitionState]:
        with self._state:
            states = [lane.state() for lane in self.lanes.values()]
            states += [PartitionState(lane, None, retrying=why) for lane, why in self.starting.items()]
        return sorted(states, key=lambda s: (s.lane.destination, s.lane.partition))


def _reason(lost: PositionLostError) -> str:
    return f"{type(lost).__name__}: {lost}"


def _names(lanes: Collection[Lane]) -> str:
    return ", ".join(f"{lane.destination}[{lane.partition}]" for lane in lanes) or "nothing"
