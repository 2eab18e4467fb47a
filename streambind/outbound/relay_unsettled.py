"""What the broker has and the outbox still holds: few rows at a time are not deleted at once, but with those that
follow them within a moment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from streambind.outbound.relay_outcome import RelayOutcome

_LONGEST_S = 0.05
_MANY_ROWS = 200


class Unsettled:
    """Outcomes in the order in which they were reported. Used by the relay's thread only. A whole batch of
    `batch_size` rows is never few."""

    def __init__(self, batch_size: int) -> None:
        self._many_rows = min(_MANY_ROWS, batch_size)
        self._outcomes: list[RelayOutcome] = []
        self._rows = 0
        self.due_at = math.inf
        """When they are to be put into the database: after a moment, or at once if they are many, or tell of more
        than of what was delivered."""

    def __len__(self) -> int:
        return len(self._outcomes)

    def add(self, outcomes: Sequence[RelayOutcome], now: float) -> None:
        """Take in what has been reported just now."""
        for outcome in outcomes:
            self._outcomes.append(outcome)
            self._rows += len(outcome.delivered)
            is_urgent = self._rows >= self._many_rows or outcome.blocked or outcome.trouble is not None
            self.due_at = min(self.due_at, now if is_urgent else now + _LONGEST_S)

    def within(self, tenures: Mapping[int, int]) -> list[RelayOutcome]:
        """What of them counts while the shards are held in these tenures."""
        return [outcome.within(tenures) for outcome in self._outcomes]

    def shards(self) -> set[int]:
        """Those of rows that were delivered: if they were let go now, somebody would send these once more."""
        return {row.shard for outcome in self._outcomes for row in outcome.delivered}

    def clear(self) -> None:
        """The database knows of them."""
        self._outcomes = []
        self._rows = 0
        self.due_at = math.inf
