"""When the relay reads the outbox next."""

from __future__ import annotations

from streambind.outbound.relay_lanes import Lanes

_SHORTEST_POLL_S = 0.05
_SIDE_READ_COST = 4
"""A side read may cost a fifth of the time."""


class Pace:
    """Read when woken, when a destination has room again, and else at intervals that grow while there is nothing
    to do.

    While a destination is full, a read for others (a *side read*) walks over all of its rows: it happens only if
    a known destination is open, or at the longest interval, and the longer the last one took the later.
    """

    def __init__(self, *, longest_poll_s: float) -> None:
        self._longest_poll_s = max(_SHORTEST_POLL_S, longest_poll_s)
        self._poll_s = _SHORTEST_POLL_S
        self._poll_at = 0.0
        self._side_read_at = 0.0
        self.woken = True
        """Set from any thread."""

    def should_read(self, now: float, lanes: Lanes, *, freed: bool) -> bool:
        """`freed`: lanes have reported in this turn, and there may be something to read because of that."""
        if freed:
            return True
        if any(now >= at for at in lanes.held_back().values()):
            self.woken = True
        polling = now >= self._poll_at
        if not lanes.is_full():
            return self.woken or polling
        return (polling or (self.woken and bool(lanes.open()))) and now >= self._side_read_at

    def has_read(self, now: float, lanes: Lanes, *, rows: int, full: bool, took_s: float) -> None:
        """Take note of a read; before its rows are dispatched."""
        if full:
            self.woken = True
        self._poll_s = _SHORTEST_POLL_S if rows else min(self._poll_s * 2, self._longest_poll_s)
        self._poll_at = now + (self._longest_poll_s if rows or lanes.is_busy() else self._poll_s)
        self._side_read_at = now + _SIDE_READ_COST * took_s

    def has_reported(self, now: float, lanes: Lanes) -> None:
        """Take note that lanes have reported: if nothing is under way any more, the short intervals begin."""
        if not lanes.is_busy():
            self._poll_at = min(self._poll_at, now + self._poll_s)

    def next_at(self, now: float, lanes: Lanes) -> float:
        """When to look again if nothing is reported before."""
        times = [at for at in lanes.held_back().values() if at > now]
        if not lanes.is_full():
            times.append(now if self.woken else self._poll_at)
        else:
            wanted = now if self.woken and lanes.open() else self._poll_at
            times.append(max(wanted, self._side_read_at))
        return min(times)
