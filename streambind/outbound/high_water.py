"""Says when the outbox fills up, once, and when it is well again."""

from __future__ import annotations

import logging

log = logging.getLogger("streambind.relay")


class HighWater:
    """`problem` says what is wrong while more rows wait than `rows`, and until they are half as many; None else.
    Used by the relay's thread; `problem` may be read by others."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.problem: str | None = None

    def see(self, backlog: int) -> None:
        """Take note of how many rows wait."""
        if self.problem is None and backlog > self._rows:
            self.problem = (
                f"{backlog} messages or more wait in the outbox, above streambind.outbox.high-water "
                f"({self._rows}): see `streambind outbox status` for blocked keys, and whether the broker is "
                "there; more relays (`streambind relay`) share the work"
            )
            log.warning("relay: %s", self.problem)
        elif self.problem is not None and backlog * 2 <= self._rows:
            self.problem = None
            log.info("relay: %d messages wait in the outbox, no longer too many", backlog)
