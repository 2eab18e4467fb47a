"""All lanes of a relay: which destinations are busy, held back or not ours, and what their reports mean."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from streambind.errors import StreambindError
from streambind.outbound.lease import Hold
from streambind.outbound.relay_foreign import Foreign
from streambind.outbound.relay_lane import Lane, Report
from streambind.outbound.relay_outcome import RelayOutcome, decide
from streambind.outbound.relay_way import Job, Way
from streambind.outbound.wire_message import OutboxRow, Source
from streambind.persistence.failures import describe

log = logging.getLogger("streambind.relay")

_SILENT_AFTER_S = 5.0
_MOST_JOBS = 2
"""Of a destination: one in flight, and one that is read meanwhile."""


class Collected(NamedTuple):
    """The destinations that have reported, the outcomes among that, the shards that are lost, whether producers
    have been bound afresh, and whether anything is `unsent` that was to be sent."""

    destinations: frozenset[str] = frozenset()
    outcomes: Sequence[RelayOutcome] = ()
    lost: frozenset[int] = frozenset()
    fresh: bool = False
    unsent: bool = False


class Lanes:
    """Used by the relay's thread; only `troubles` and `purge` may be called from others. `notify` is called
    when a report has come in, on the lane's thread; `way` makes the way to a destination, None if no output of
    this application leads there."""

    def __init__(
        self, way: Callable[[str], Way | None], notify: Callable[[], None], *, clock: Callable[[], float]
    ) -> None:
        self._way = way
        self._foreign = Foreign(lambda destination: way(destination) is not None, clock=clock)
        self._notify = notify
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._reports: deque[Report] = deque()

    def dispatch(self, rows: Sequence[OutboxRow], source: Source, hold: Hold) -> None:
        """Send the rows, each destination's on its own lane; all of the destinations must be open."""
        by_destination: dict[str, list[OutboxRow]] = {}
        for row in rows:
            by_destination.setdefault(row.destination, []).append(row)
        for destination, chosen in by_destination.items():
            lane = self._lanes.get(destination) or self._new_lane(destination, chosen[0].binding)
            if lane is not None:
                lane.dispatch(Job(tuple(chosen), source, hold, behind=len(lane.state.jobs) > 0))

    def collect(self) -> Collected:
        """What the lanes have reported since the last call."""
        destinations, outcomes, lost = set[str](), list[RelayOutcome](), set[int]()
        fresh = unsent = False
        while self._reports:
            report = self._reports.popleft()
            destinations.add(report.destination)
            lost |= report.lost
            fresh |= report.fresh
            unsent |= not report.got_through
            lane = self._lanes[report.destination]
            lane.state.jobs.popleft()
            lane.state.since = self._clock()
            if report.error is not None:
                self._hold_back(lane, describe(report.error), report.error)
            elif not report.late and not report.fresh:
                outcome = decide(report.job.rows, report.results, report.job.hold.tenures)
                outcomes.append(outcome)
                if outcome.trouble is None:
                    self._recover(lane)
                else:
                    self._hold_back(lane, outcome.trouble)
        return Collected(frozenset(destinations), outcomes, frozenset(lost), fresh, unsent)

    def leave(self, rows: Sequence[OutboxRow], trouble: str, pause_s: float) -> None:
        """Leave the destinations of these rows alone for so long."""
        for name in {row.destination for row in rows}:
            log.error("relay: destination %s: %s", name, trouble)
            self._lanes[name].state.trouble = trouble
            self._lanes[name].state.not_before = self._clock() + pause_s

    def forget_trouble(self, seen: frozenset[str]) -> None:
        """A read that left nothing out found no rows of these held-back destinations: nothing to try again."""
        for name in seen:
            if not self._lanes[name].state.jobs:
                self._lanes[name].state.trouble = None

    def is_busy(self) -> bool:
        """Whether anything is in flight."""
        return any(lane.state.jobs for lane in self._lanes.values())

    def is_full(self) -> bool:
        """Whether a destination has as much under way as it may."""
        return any(len(lane.state.jobs) >= _MOST_JOBS for lane in self._lanes.values())

    def busy_shards(self) -> set[int]:
        """The shards that rows under way belong to."""
        return {row.shard for lane in self._lanes.values() for job in lane.state.jobs for row in job.rows}

    def idle(self) -> frozenset[str]:
        """Known destinations that have nothing under way and are not held back."""
        return frozenset(name for name in self.open() if not self._lanes[name].state.jobs)

    def open(self) -> frozenset[str]:
        """Known destinations whose rows may be read now, but for those that are under way."""
        now = self._clock()
        return frozenset(
            name
            for name, lane in self._lanes.items()
            if now >= lane.state.not_before
            and (not lane.state.jobs or (lane.state.trouble is None and len(lane.state.jobs) < _MOST_JOBS))
        )

    def excluded(self, tenures: Mapping[int, int]) -> frozenset[str]:
        """Destinations whose rows may not be read now, while shards are held in these tenures: full, held back or
        not ours, or what is under way was read in another tenure. That will be sent once more, and nothing may
        be between it and what follows it then."""
        readable = {
            name
            for name in self.open()
            if all(job.hold.tenures == tenures for job in self._lanes[name].state.jobs)
        }
        return (frozenset(self._lanes) - readable) | self._foreign.names()

    def under_way(self, excluded: Collection[str]) -> list[int]:
        """The ids of rows under way to other destinations than these."""
        return [
            row.id
            for name, lane in self._lanes.items()
            if name not in excluded
            for job in lane.state.jobs
            for row in job.rows
        ]

    def held_back(self) -> dict[str, float]:
        """Destinations that wait after a failure, and until when."""
        return {
            name: lane.state.not_before
            for name, lane in self._lanes.items()
            if lane.state.trouble is not None and not lane.state.jobs
        }

    def troubles(self) -> dict[str, str]:
        """What is wrong with destinations that are not served now, for people."""
        troubles = self._foreign.troubles()
        for name, lane in list(self._lanes.items()):
            state, waited_s = lane.state, self._clock() - lane.state.since
            if state.trouble is not None:
                troubles[name] = state.trouble
            elif state.jobs and waited_s > _SILENT_AFTER_S:
                troubles[name] = f"the broker has not confirmed anything for {waited_s:.0f} s"
        return troubles

    def purge(self) -> None:
        """Make the sends in flight return; their producers are of no use afterwards."""
        for lane in list(self._lanes.values()):
            if lane.state.jobs:
                lane.purge()

    def end(self) -> None:
        """End the lanes' threads as soon as their sends have returned."""
        for lane in self._lanes.values():
            lane.end()

    def join(self, until: float) -> None:
        """Wait for the lanes' threads, at most until then."""
        for lane in self._lanes.values():
            lane.join(max(0.0, until - self._clock()))

    def _new_lane(self, destination: str, binding: str) -> Lane | None:
        """None if nothing leads there."""
        way = self._way(destination)
        if way is None:
            self._foreign.note(destination, binding)
            return None
        lane = self._lanes[destination] = Lane(destination, way, self._hand_in, clock=self._clock)
        return lane

    def _hand_in(self, report: Report) -> None:
        self._reports.append(report)
        self._notify()

    def _recover(self, lane: Lane) -> None:
        if lane.state.trouble is not None:
            log.info("relay: destination %s: sending again", lane.destination)
        lane.state.trouble = None
        lane.state.back_off.succeed()

    def _hold_back(self, lane: Lane, trouble: str, error: Exception | None = None) -> None:
        state = lane.state
        if state.trouble is None:
            known = error is None or isinstance(error, StreambindError)
            log.log(
                logging.WARNING if known else logging.ERROR,
                "relay: destination %s: not sent; its rows stay in the outbox and are tried again: %s",
                lane.destination,
                trouble,
                exc_info=None if known else error,
            )
        state.trouble = trouble
        state.not_before = self._clock() + state.back_off.fail()
