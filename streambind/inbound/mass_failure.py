"""When many keys fail at once it is an outage, not poison: then nothing more is parked, messages are held, and the
tries of what is parked already do not count."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from streambind.configuration.properties import ParkingProperties
from streambind.errors import ConversionError, PermanentError

_BUCKETS = 20
_KEYS_OF_A_PROBE = 2
_EXCUSED_FOR_S = 24 * 3600.0

_OF_THE_MESSAGE = (ConversionError, PermanentError)
"""However many fail so, it is no outage: what they need is there, and they do not fit it."""


class MassFailure:
    """Counts, over a sliding window, the keys that failed and the messages that were handled. Thread-safe.

    It opens when both enough keys and a large enough share have failed, and stays open for a window. Then one
    message may be parked as a probe: if the next key fails too, it opens again at once.

    Parked keys are tried again too seldom for a window. Of them it is an outage when enough have failed one after
    the other, and no message was handled between; but not for longer than a day, for on a quiet destination
    nothing else might ever be handled.

    What cannot be decoded, and what is refused for good, says nothing of an outage, and none holds it up.
    """

    def __init__(self, properties: ParkingProperties, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = properties.mass_failure_keys
        self._share = properties.mass_failure_share
        self._window_s = properties.mass_failure_window_ms / 1000
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[tuple[float, bytes]] = deque()
        self._handled: deque[tuple[float, int]] = deque()
        self._opened_at: float | None = None
        self._probing_since: float | None = None
        self._in_vain: set[bytes] = set()
        self._in_vain_since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is parked at the moment."""
        opened_at = self._opened_at
        return opened_at is not None and self._clock() - opened_at < self._window_s

    def handled(self, count: int) -> None:
        """Messages have been handled."""
        if count <= 0:
            return
        with self._lock:
            self._succeeded()
            now = self._clock()
            if self._handled and now - self._handled[-1][0] < self._window_s / _BUCKETS:
                at, before = self._handled[-1]
                self._handled[-1] = (at, before + count)
            else:
                self._handled.append((now, count))
            self._forget(now)

    def count_failure(self, key: bytes, error: Exception) -> bool:
        """A key is about to be parked: whether it must not be, for too many are."""
        if isinstance(error, _OF_THE_MESSAGE):
            return False
        with self._lock:
            now = self._clock()
            if self._opened_at is not None:
                if now - self._opened_at < self._window_s:
                    return True
                self._opened_at, self._probing_since = None, now
                self._failures.clear()
                self._handled.clear()
            self._failures.append((now, key))
            self._forget(now)
            if not self._is_reached(now):
                return False
            self._opened_at, self._probing_since = now, None
            return True

    def drained(self) -> None:
        """A parked message has been handled."""
        with self._lock:
            self._succeeded()

    def excused_ms(self, key: bytes, error: Exception) -> int | None:
        """A parked key has failed again. For how long so many have been failing that it must not count; None: it
        counts."""
        if isinstance(error, _OF_THE_MESSAGE):
            return None
        with self._lock:
            if len(self._in_vain) < self._keys:
                self._in_vain.add(key)
            if len(self._in_vain) < self._keys:
                return None
            now = self._clock()
            if self._in_vain_since is None:
                self._in_vain_since = now
            lasts_s = now - self._in_vain_since
            return round(lasts_s * 1000) if lasts_s < _EXCUSED_FOR_S else None

    def _succeeded(self) -> None:
        self._in_vain.clear()
        self._in_vain_since = None

    def _is_reached(self, now: float) -> bool:
        if self._probing_since is not None and now - self._probing_since >= self._window_s:
            self._probing_since = None
        failed = len({key for _, key in self._failures})
        if failed < (self._keys if self._probing_since is None else min(_KEYS_OF_A_PROBE, self._keys)):
            return False
        return failed >= self._share * (failed + sum(count for _, count in self._handled))

    def _forget(self, now: float) -> None:
        while self._failures and now - self._failures[0][0] >= self._window_s:
            self._failures.popleft()
        while self._handled and now - self._handled[0][0] >= self._window_s:
            self._handled.popleft()
