"""When enough has been seen, and how long that took from the first message on."""

from __future__ import annotations

import threading
import time


class Watch:
    """Counts messages from any thread up to `total`. The time runs from the first to the last."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen = 0
        self._began = 0.0
        self._took = 0.0
        self.done = threading.Event()

    def saw(self, number: int) -> None:
        """So many more are handled; for callers of which only one counts at a time."""
        if not self._began:
            self._began = time.perf_counter()
        self._seen += number
        if self._seen >= self._total and not self._took:
            self._took = time.perf_counter() - self._began
            self.done.set()

    def rate(self) -> float:
        """Messages per second, once `done` is set."""
        return self._total / self._took
