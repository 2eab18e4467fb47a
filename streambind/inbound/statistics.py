"""What a binding's delivery has done and how it fares: for health and metrics."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streambind.binding.binder import Lane


@dataclass(frozen=True, slots=True)
class Figures:
    """A moment's copy. Counts start with the process.

    handled: messages that are done, whatever became of them; duplicates: not applied, for the guard had them;
    stale: not applied, for they are of an older epoch of their source;
    retried: tries that failed and were put off; dead_lettered, skipped: messages passed over; parked: put
    aside with their keys; drained: of those, handled since; dead: keys given up; unmatched: no
    listener's condition held; fenced: batches dropped because another owner had moved the position.
    `degraded_since`: seconds since the epoch when database or broker began to be in the way, None if not.
    `longest_s`: for how long the longest of the deliveries, and tries of parked messages, that run now has been
    running; 0.0 if none does.
    """

    handled: int = 0
    duplicates: int = 0
    stale: int = 0
    retried: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    parked: int = 0
    drained: int = 0
    dead: int = 0
    unmatched: int = 0
    fenced: int = 0
    last_error: str | None = None
    degraded_since: float | None = None
    longest_s: float = 0.0


class DeliveryStatistics:
    """Counters of one binding. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last_error: str | None = None
        self._degraded_since: float | None = None
        self._running: dict[Lane | None, float] = {}

    def figures(self) -> Figures:
        longest_s = max((time.monotonic() - began for began in list(self._running.values())), default=0.0)
        with self._lock:
            return Figures(
                **self._counts,
                last_error=self._last_error,
                degraded_since=self._degraded_since,
                longest_s=round(longest_s, 1),
            )

    @contextmanager
    def delivering(self, *lanes: Lane | None) -> Iterator[None]:
        """A delivery of the lanes, of each one at a time, runs as long as the block; None: a try of a parked
        message."""
        self._running.update(dict.fromkeys(lanes, time.monotonic()))
        try:
            yield
        finally:
            for lane in lanes:
                del self._running[lane]

    def count(self, **counts: int) -> None:
        """Add to the counters of these names."""
        with self._lock:
            self._counts.update(counts)

    def failed(self, text: str) -> None:
        """A message failed; its binding goes on."""
        with self._lock:
            self._last_error = text

    def degraded(self, text: str) -> None:
        """Something that no message is to blame for stands in the way."""
        with self._lock:
            self._last_error = text
            self._degraded_since = self._degraded_since or time.time()

    def recovered(self) -> None:
        if self._degraded_since is not None:
            with self._lock:
                self._degraded_since = None
