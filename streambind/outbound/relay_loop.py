"""What the relay's thread does, turn by turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial

from sqlalchemy import Connection

from streambind.back_off import BackOff
from streambind.configuration.properties import OutboxProperties
from streambind.failpoints import failpoint
from streambind.outbound.high_water import HighWater
from streambind.outbound.lease import Leases, ranges
from streambind.outbound.relay_exchange import Exchange, Exchanged
from streambind.outbound.relay_floor import Floor
from streambind.outbound.relay_lanes import Lanes
from streambind.outbound.relay_outcome import Blocked
from streambind.outbound.relay_pace import Pace
from streambind.outbound.relay_rows import Backlog, OutboxRows
from streambind.outbound.relay_state import RelayStatus
from streambind.outbound.relay_unsettled import Unsettled
from streambind.outbound.relay_way import Way
from streambind.outbound.undeleted import Undeleted, complaint
from streambind.outbound.wire_message import OutboxRow, Source
from streambind.persistence.database import Database
from streambind.persistence.failures import describe, is_database_trouble
from streambind.persistence.stack_trace import logged_trace

log = logging.getLogger("streambind.relay")


class RelayLoop:
    """Renews leases, reads rows, hands them to lanes and deletes what the broker has.

    A destination has at most one job in flight and one behind it, and their rows are not read again until the
    outcome is in the database. All database work happens here, in one thread, one short transaction at a time.
    """

    def __init__(
        self,
        database: Database,
        way: Callable[[str], Way | None],
        properties: OutboxProperties,
        owner: str,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.status = RelayStatus.RUNNING
        self.last_error: str | None = None
        self.backlog = 0
        self.blocked = 0
        self.sent = 0
        self.high_water = HighWater(properties.high_water, properties.high_water_age_ms)
        self.leases = Leases(database, owner, lease_ms=properties.lease_ms, clock=clock)
        self.lanes = Lanes(way, self._notify, clock=clock)
        self._database = database
        self._clock = clock
        self._rows = OutboxRows(
            database, owner, batch_size=properties.batch_size, idle_limit_ms=properties.lease_ms
        )
        self._floor = Floor(database, clock=clock)
        self._undeleted = Undeleted()
        self._pace = Pace(longest_poll_s=properties.poll_interval_ms / 1000)
        self._back_off = BackOff()
        self._retry_at = 0.0
        self._source: Source | None = None
        self._left_out: Collection[str] = ()
        self._signal = threading.Event()
        self._unsettled = Unsettled(properties.batch_size)
        self._purge_at: float | None = None
        self._finish_by = 0.0
        self._drained = False

    def wake(self) -> None:
        """Read soon. Any thread; many calls are one."""
        self._pace.woken = True
        self._notify()

    def finish(self, timeout_s: float) -> None:
        """End when all that can be sent is sent; purge what is in flight a little before the time is over."""
        now = self._clock()
        self._finish_by = now + timeout_s
        self._purge_at = now + timeout_s - min(1.0, timeout_s / 5)
        self._notify()

    def run(self) -> None:
        """Turn after turn until `finish`."""
        while True:
            pause = self._guarded_turn()
            if self._is_over():
                break
            self._signal.wait(pause)
            self._signal.clear()
        self._close()

    def _notify(self) -> None:
        if not self._signal.is_set():
            self._signal.set()

    def _guarded_turn(self) -> float:
        now = self._clock()
        if now < self._retry_at:
            return self._retry_at - now
        try:
            pause = self._turn()
        except Exception as error:  # noqa: BLE001 - the relay never dies silently: it says so and tries again
            return self._troubled(error)
        if self.status is not RelayStatus.RUNNING:
            log.info("relay: goes on")
            self.status, self.last_error = RelayStatus.RUNNING, None
        self._back_off.succeed()
        return pause

    def _turn(self) -> float:
        finishing = self._purge_at is not None
        freed = self._collect()
        if self._clock() >= self.leases.due_at or self._source is None:
            self._renew()
        last_read = finishing and not self._drained and not self.lanes.is_busy()
        read = self._pace.should_read(self._clock(), self.lanes, freed=freed) or last_read
        rows = self._exchange(read=read)
        if last_read:
            self._drained = not rows and not self._pace.woken
        if rows and self._source is not None:
            failpoint("relay.after_select")
            self.lanes.dispatch(rows, self._source, self.leases.hold)
        if self._floor.wants_look():
            self._database.run(self._floor.look)
        if self.leases.retiring and not self.leases.retiring & self._busy_shards():
            self._renew()
        return self._pause()

    def _collect(self) -> bool:
        """Take in what the lanes report; whether rows may wait now that nobody is woken for: of destinations that
        the last read left out, and such as were not sent."""
        destinations, outcomes, lost, fresh, unsent = self.lanes.collect()
        if destinations:
            self._pace.has_reported(self._clock(), self.lanes)
        self._unsettled.add(outcomes, self._clock())
        if lost or fresh:
            # Before the next read: are the shards ours, now that nobody else can send for them?
            self.leases.begin_anew(lost)
        self.sent += sum(len(outcome.delivered) for outcome in outcomes)
        if any(outcome.delivered for outcome in outcomes):
            failpoint("relay.after_ack")
        return unsent or not destinations.isdisjoint(self._left_out)

    def _renew(self) -> None:
        if 0 < self.leases.valid_until <= self._clock():
            log.warning("relay: the leases ran out: this process stood still, or the database was away")
        before, gained = self.leases.held, self.leases.round(self._busy_shards())

        def survey(connection: Connection) -> tuple[Source, Backlog]:
            self._rows.begin(connection)
            return self._rows.source(connection), self._rows.backlog(connection, self._floor.value)

        self._source, (self.backlog, oldest_ms, self.blocked) = self._database.run(survey)
        self.high_water.see(self.backlog, oldest_ms)
        if before != self.leases.held:
            log.info("relay: has shards %s", ranges(self.leases.held) or "none")
        if gained:
            self._pace.woken = True

    def _busy_shards(self) -> set[int]:
        """Shards with rows in flight, or delivered and not yet deleted: letting those go would repeat them."""
        return self._unsettled.shards() | self.lanes.busy_shards()

    def _exchange(self, *, read: bool) -> Sequence[OutboxRow]:
        """Put outcomes into the database, once it is time for it, and read what comes next, in one transaction."""
        settles = len(self._unsettled) > 0 and self._should_settle()
        if not read and not settles:
            return []
        wanted = self._wanted(settles=settles, read=read)
        idle, limit, began = self.lanes.idle(), self._rows.limit, self._clock()
        if read:
            self._left_out = wanted.excluded
            self._pace.woken = False  # before the read: who wakes from now on wants another one
        done = self._database.run(partial(wanted.carry_out, self._rows))
        now = self._clock()
        if settles and not self._settled(wanted, done):
            return []
        if read:
            self._source = done.source or self._source
            full = len(done.rows) >= limit
            self._floor.has_read(wanted.above, now - began)
            self._pace.has_read(now, self.lanes, rows=len(done.rows), full=full, took_s=now - began)
            if not full:
                self.lanes.forget_trouble(idle - {row.destination for row in done.rows})
        return done.rows

    def _wanted(self, *, settles: bool, read: bool) -> Exchange:
        """What is to be done in the database now."""
        outcomes = self._unsettled.within(self.leases.tenures)
        delivered = [row for outcome in outcomes for row in outcome.delivered]
        excluded = self.lanes.excluded(self.leases.tenures)
        under_way = self.lanes.under_way(excluded)
        if not settles:
            under_way += [row.id for row in delivered]
        return Exchange(
            settles=settles,
            delivered=delivered,
            blocked=[entry for outcome in outcomes for entry in outcome.blocked],
            shards=self.leases.held if read else frozenset(),
            excluded=excluded,
            under_way=under_way,
            above=self._floor.for_read(),
            source=self._source,
        )

    def _settled(self, wanted: Exchange, done: Exchanged) -> bool:
        """Take note of what is in the database now; False if the leases are to be asked for before reading on."""
        self._unsettled.clear()
        if wanted.delivered:
            self._floor.has_deleted(max(row.id for row in wanted.delivered))
            failpoint("relay.after_delete")
        _report_blocked(done.newly_blocked)
        if not done.is_dispossessed:
            self._undeleted.deleted(wanted.delivered)
            return True
        self.leases.due_at = 0.0
        self._pace.woken = True
        if again := self._undeleted.note(wanted.delivered):
            self.lanes.leave(again, complaint(again), self._undeleted.pause_s())
        return False

    def _should_settle(self) -> bool:
        # At the end, and where another relay waits for shards, nothing is waited for.
        is_ending = self._purge_at is not None or len(self.leases.retiring) > 0
        return is_ending or self._clock() >= self._unsettled.due_at

    def _pause(self) -> float:
        now = self._clock()
        times = [self.leases.due_at, self._unsettled.due_at, self._pace.next_at(now, self.lanes)]
        if self._purge_at is not None:
            times.append(self._purge_at)
        return max(0.0, min(times) - now)

    def _troubled(self, error: Exception) -> float:
        pause = self._back_off.fail()
        self._retry_at = self._clock() + pause
        self._pace.woken = True  # whatever this turn wanted to do, the next one must
        self.last_error = describe(error)
        if not is_database_trouble(error):
            self.status = RelayStatus.FAILED
            # Not exc_info: an engine of the application's own may tell its statements' parameters.
            log.error("relay: a defect; it tries again in %.1f s%s", pause, logged_trace(error))
        elif self.status is not RelayStatus.DEGRADED:
            self.status = RelayStatus.DEGRADED
            log.warning("relay: the database is away; it tries again until it is back: %s", self.last_error)
        return pause

    def _is_over(self) -> bool:
        if self._purge_at is None:
            return False
        if self._clock() >= self._purge_at:
            return True
        if self.lanes.is_busy() or self._unsettled:
            return False
        return self._drained or self.status is not RelayStatus.RUNNING

    def _close(self) -> None:
        """Purge what is in flight, delete what is known to be delivered, let the leases go."""
        self.lanes.purge()
        while self.lanes.is_busy() and self._clock() < self._finish_by - 0.1:
            self._signal.wait(0.05)
            self._signal.clear()
            self._unsettled.add(self.lanes.collect().outcomes, self._clock())
        self.lanes.end()
        try:
            self._exchange(read=False)
            self.leases.release()
        except Exception as error:  # noqa: BLE001 - what is not deleted is sent again, leases expire
            log.warning(
                "relay: the database is away at the end; the leases expire by themselves: %s", describe(error)
            )
        self.lanes.join(self._finish_by)


def _report_blocked(blocked: Sequence[Blocked]) -> None:
    by_reason: dict[tuple[str, str], list[OutboxRow]] = {}
    for row, reason in blocked:
        by_reason.setdefault((row.destination, reason), []).append(row)
    for (destination, reason), rows in by_reason.items():
        log.error(
            "relay: destination %s refuses %d messages for good, the first is %s of key %r, written for "
            "binding %s. They stay in the outbox, and so do later ones of their keys. Mend the cause, then run "
            "`streambind outbox unblock`. Cause: %s",
            destination,
            len(rows),
            rows[0].shown,
            rows[0].key,
            rows[0].binding,
            reason,
        )
