"""What was said a while ago is not said again, so that the log stays readable."""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST = 10_000


class Repeats:
    """Remembers, in bounded memory, what was said within the last seconds. Not thread-safe."""

    def __init__(self, every_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._said: dict[tuple[object, ...], float] = {}

    def has(self, *what: object) -> bool:
        """Whether it was said lately; else it is from now on."""
        now = self._clock()
        if now - self._said.get(what, float("-inf")) < self._every_s:
            return True
        self._said.pop(what, None)
        self._said[what] = now  # In the order of time: the oldest goes first.
        if len(self._said) > _MOST:
            del self._said[next(iter(self._said))]
        return False
