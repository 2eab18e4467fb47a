"""When a parked key is tried next (pure)."""

from __future__ import annotations

import math

from streambind.configuration.properties import ParkingProperties

_FIRST_LOOK_MS = 1_000


class ParkedBackOff:
    """The pauses between the tries of a parked key's next message."""

    def __init__(self, properties: ParkingProperties) -> None:
        self._properties = properties

    def retry_ms(self, failures: int) -> int | None:
        """The pause after so many failures in the worker's hands; None: that was the last one."""
        return None if failures >= self._properties.max_attempts else self.pause_ms(failures)

    def pause_ms(self, failures: int, *, excused_ms: int = 0) -> int:
        """The pause after so many failures, however many are allowed: at least as long as what failed was excused
        for, so that pauses grow while failures do not count."""
        settings = self._properties
        try:
            delay = settings.back_off_initial_interval_ms * math.pow(settings.back_off_multiplier, failures)
        except OverflowError:
            return settings.back_off_max_interval_ms
        return round(min(max(delay, excused_ms), settings.back_off_max_interval_ms))

    def gap_ms(self, waited_ms: int) -> int | None:
        """The pause after having waited so long for a predecessor; None: long enough. An arrival wakes a key
        anyway; looking is for the predecessor that was being applied while its successor was parked."""
        left = self._properties.gap_timeout_ms - waited_ms
        if left <= 0:
            return None
        return min(max(_FIRST_LOOK_MS, waited_ms), self._properties.back_off_max_interval_ms, left)
