"""Growing pauses between tries, with jitter so that many processes do not try at once."""

from __future__ import annotations

import random
from collections.abc import Callable

_FIRST_S = 0.1
_LONGEST_S = 30.0


class BackOff:
    """0.1 s, doubled with every failure, at most 30 s; each pause is between half of that and the whole."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._next_s = _FIRST_S

    def fail(self) -> float:
        """The pause before the next try, in seconds."""
        pause = self._next_s * (0.5 + self._jitter() / 2)
        self._next_s = min(self._next_s * 2, _LONGEST_S)
        return pause

    def succeed(self) -> None:
        """The next failure begins with the shortest pause again."""
        self._next_s = _FIRST_S
