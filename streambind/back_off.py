"""Growing pauses between tries, with jitter so that many processes do not try at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class BackOff:
    """`first_s`, doubled with every failure, at most `longest_s`; each pause is between half of that and the
    whole."""

    def __init__(
        self, *, first_s: float = 0.1, longest_s: float = 30.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter
        self._next_s = min(first_s, longest_s)

    def fail(self) -> float:
        """The pause before the next try, in seconds."""
        pause = self._next_s * (0.5 + self._jitter() / 2)
        self._next_s = min(self._next_s * 2, self._longest_s)
        return pause

    def succeed(self) -> None:
        """The next failure begins with the shortest pause again."""
        self._next_s = min(self._first_s, self._longest_s)
