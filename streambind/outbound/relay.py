"""Sends committed outbox rows, in order, and deletes what the broker has."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from streambind.configuration.masking import shown_url
from streambind.configuration.properties import OutboxProperties
from streambind.outbound.relay_loop import RelayLoop
from streambind.outbound.relay_state import RelayState, RelayStatus
from streambind.outbound.relay_way import FencedProducers, FencedWay, Producers, SharedWay, Way
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS

_SHOWN = 10
"""How many destinations the last error names."""

log = logging.getLogger("streambind.relay")


class Relay:
    """The relay of one process, on a thread named `streambind-relay` and one per destination to which this
    application has an output, on synchronous and asynchronous engines alike.

    A row is deleted only after the broker has confirmed it; rows of one key travel in the order of their ids, and
    none travels before an earlier one of its key has: one that is refused holds back the rest. After a crash or a
    take-over rows may travel twice, in runs without a gap; without a fence such a run may come after newer rows.
    Any number of relays may work on one database: each shard has one owner at a time, by a lease on the
    database's clock. `owner` names this relay; no other relay may have the same name, not even the same service
    after a restart.

    `producers` gives the producer for a destination, None if this application has no output to it (asked again
    twice a minute); for others it is asked again for every batch. It may raise BrokerError. The producers' sends
    should have no time limit. `fenced` binds producers that have a fence; with it what a relay sends that has lost
    its shard never gets into a log after what the new owner sends.
    """

    def __init__(
        self,
        database: Database,
        producers: Producers,
        properties: OutboxProperties,
        owner: str,
        *,
        fenced: FencedProducers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._producers = producers
        self._fenced = fenced
        self._properties = properties
        self._owner = owner
        self._clock = clock
        self._lock = threading.Lock()
        self._loop: RelayLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs. Connects to nothing here: trouble shows in `state`."""
        with self._lock:
            if self._thread is not None:
                return
            loop = RelayLoop(self._database, self._way, self._properties, self._owner, clock=self._clock)
            self._loop = loop
            self._thread = threading.Thread(target=loop.run, name="streambind-relay", daemon=True)
            self._thread.start()
            log.info("relay: %s sends what is committed in %s", self._owner, shown_url(self._database.engine.url))

    def wake(self) -> None:
        """Rows have been committed: look soon. Any thread, also an event loop's; cheap; many calls are one; never
        raises; without effect before `start` and after `stop`."""
        loop = self._loop
        if loop is not None:
            loop.wake()

    def stop(self, timeout_ms: int) -> None:
        """Send what is committed while the time lasts, purge the rest, let the leases go. Returns within the
        time, whatever the broker and the database do; what was not sent stays in the outbox. Idempotent. Never
        on the thread of the event loop that an asynchronous engine works on."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.finish(timeout_ms / 1000)
        thread.join(timeout_ms / 1000)
        if thread.is_alive():
            loop.lanes.purge()
            log.warning("relay: not ended within %d ms; what it has not sent stays in the outbox", timeout_ms)
        else:
            log.info("relay: ended; %d messages were confirmed", loop.sent)

    def _way(self, destination: str) -> Way | None:
        try:
            if self._producers(destination) is None:
                return None
        except Exception:  # noqa: BLE001 - there is an output; its lane asks again, and says what is wrong
            pass
        if self._fenced is None:
            return SharedWay(destination, self._producers)
        return FencedWay(destination, self._producers, self._fenced)

    @property
    def has_all_shards(self) -> bool:
        """Whether no other relay has rows to send."""
        loop = self._loop
        return loop is not None and len(loop.leases.held) == SHARDS

    @property
    def state(self) -> RelayState:
        """How it is doing; asks neither the database nor a broker."""
        loop = self._loop
        if loop is None:
            return RelayState(RelayStatus.STOPPED)
        troubles = loop.lanes.troubles()
        status, error = loop.status, loop.last_error
        if status is RelayStatus.RUNNING and troubles:
            status = RelayStatus.DEGRADED
            error = "; ".join(
                f"destination {name}: {trouble}" for name, trouble in sorted(troubles.items())[:_SHOWN]
            )
        elif status is RelayStatus.RUNNING and loop.leases.unanswered:
            status, error = RelayStatus.DEGRADED, loop.leases.unanswered
        elif status is RelayStatus.RUNNING and loop.backlog and loop.leases.stalled:
            status, error = RelayStatus.DEGRADED, loop.leases.stalled
        elif status is RelayStatus.RUNNING and loop.high_water.problem:
            status, error = RelayStatus.DEGRADED, loop.high_water.problem
        return RelayState(
            status=status,
            last_error=error,
            backlog=loop.backlog,
            blocked=loop.blocked,
            shards=tuple(sorted(loop.leases.held | loop.leases.retiring)),
            destinations=troubles,
            sent=loop.sent,
        )
