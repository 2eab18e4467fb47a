"""When enough has been seen, and how long that took from the first message on."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

LOOK_S = 0.01


class Watch:
    """Counts the course's messages, or the `share` of them that is enough of a slow contender, from any thread.
    Time and processor time run from the first to the last."""

    def __init__(self, course: dict[str, Any]) -> None:
        self._messages = course["messages"]
        self._total = int(self._messages * course.get("share", 1))
        self._first = 0
        self._seen = 0
        self._began = (0.0, 0.0)
        self._ended = (0.0, 0.0)
        self._peaks_mb: list[float] = []
        self.done = threading.Event()

    def saw(self, number: int) -> None:
        """So many more are handled; for callers of which only one counts at a time."""
        if not self._seen:
            self._began = _times()
        self._note(self._seen + number)

    def follow(self, seen: Callable[[], int]) -> None:
        """Look now and then at a count that somebody else keeps, until it is complete."""
        while not (first := seen()):
            time.sleep(LOOK_S)
        self._began, self._first = _times(), first
        while not self.done.is_set():
            time.sleep(LOOK_S)
            self._note(seen())

    def figures(self) -> dict[str, float]:
        """What a contender returns, once `done` is set: messages per second, when it began and ended, the
        processor time of the process for all messages of the course, and the most memory that it has had."""
        (began, cpu_began), (ended, cpu_ended) = self._began, self._ended
        seen = self._seen - self._first
        half_mb, whole_mb = self._peaks_mb
        return {
            "rate": seen / (ended - began),
            "began": began,
            "ended": ended,
            "cpu_s": (cpu_ended - cpu_began) * self._messages / seen,
            "memory": half_mb,
            "memory that the second half adds": max(0.1, whole_mb - half_mb),
        }

    def _note(self, seen: int) -> None:
        self._seen = seen
        if seen >= self._total / 2 and not self._peaks_mb:
            self._peaks_mb.append(_peak_mb())
        if seen >= self._total and not self.done.is_set():
            self._ended = _times()
            self._peaks_mb.append(_peak_mb())
            self.done.set()


def _times() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _peak_mb() -> float:
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
