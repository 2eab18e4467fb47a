"""When enough has been seen, and how long that took from the first message on."""

from __future__ import annotations

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
        self.done = threading.Event()

    def saw(self, number: int) -> None:
        """So many more are handled; for callers of which only one counts at a time."""
        if not self._seen:
            self._began = _times()
        self._seen += number
        if self._seen >= self._total and not self.done.is_set():
            self._ended = _times()
            self.done.set()

    def follow(self, seen: Callable[[], int]) -> None:
        """Look now and then at a count that somebody else keeps, until it is complete."""
        while not (first := seen()):
            time.sleep(LOOK_S)
        self._began, self._first = _times(), first
        while (last := seen()) < self._total:
            time.sleep(LOOK_S)
        self._ended, self._seen = _times(), last
        self.done.set()

    def figures(self) -> dict[str, float]:
        """What a contender returns, once `done` is set: messages per second, and the processor time of the process
        for all messages of the course."""
        seen = self._seen - self._first
        took, cpu = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        return {"rate": seen / took, "cpu_s": cpu * self._messages / seen}


def _times() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
