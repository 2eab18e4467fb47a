"""Says when the outbox fills up or grows old, once, and when it is well again."""

from __future__ import annotations

import logging

log = logging.getLogger("streambind.relay")

_REMEDY = (
    "see `streambind outbox status` for blocked keys, and whether the broker is there; more relays "
    "(`streambind relay`) share the work"
)


class HighWater:
    """What is wrong while more rows wait than `rows`, or one of them for longer than `age_ms`. Used by the relay's
    thread; `problem` may be read by others."""

    def __init__(self, rows: int, age_ms: int) -> None:
        self._rows = _Mark(rows)
        self._age = _Mark(age_ms)

    @property
    def problem(self) -> str | None:
        said = [mark.problem for mark in (self._rows, self._age) if mark.problem is not None]
        return f"{'; '.join(said)}: {_REMEDY}" if said else None

    def see(self, backlog: int, oldest_ms: int | None) -> None:
        """Take note of how many rows wait, and of the age of the oldest one."""
        waited_s = (oldest_ms or 0) // 1000
        self._rows.see(
            backlog,
            f"{backlog} messages or more wait in the outbox, above streambind.outbox.high-water "
            f"({self._rows.limit})",
            f"{backlog} messages wait in the outbox, no longer too many",
        )
        self._age.see(
            oldest_ms or 0,
            f"a message has waited in the outbox for {waited_s} s, above streambind.outbox.high-water-age "
            f"({self._age.limit / 1000:g} s)",
            f"the oldest message in the outbox has waited for {waited_s} s, no longer too long",
        )


class _Mark:
    """`problem` is there from when a value is seen above `limit` until one is seen that is at most half of it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.problem: str | None = None

    def see(self, value: int, above: str, below: str) -> None:
        if self.problem is None and value > self.limit:
            self.problem = above
            log.warning("relay: %s: %s", above, _REMEDY)
        elif self.problem is not None and value * 2 <= self.limit:
            self.problem = None
            log.info("relay: %s", below)
