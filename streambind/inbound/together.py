"""Batches of several partitions in one attempt: all of it comes about, or each of them is tried by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streambind.back_off import BackOff
from streambind.failpoints import failpoint
from streambind.inbound.effects import Effects
from streambind.inbound.failure import AttemptEnded, MessageFailed, TooLong, Trouble, Unattributed
from streambind.inbound.reasons import told
from streambind.message import Batch

_log = logging.getLogger(__name__)

_LONGEST_S = 5.0
_SLOW_S = 300.0
"""What slow handlers have done of a joint batch is undone, and done again: not often."""
_WORTH_TELLING_S = 1.0
_TOLD_AGAIN_S = 300.0


class Together:
    """Tries joint batches of one binding, and leaves it for a while after one did not go well: whose fault it was,
    and what is to become of it, only a partition by itself tells. Thread-safe."""

    def __init__(self, binding: str, effects: Effects, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._binding = binding
        self._effects = effects
        self._clock = clock
        self._back_off = BackOff(longest_s=_LONGEST_S)
        self._slow = BackOff(first_s=_LONGEST_S, longest_s=_SLOW_S)
        self._slow_at = float("-inf")
        self._not_before = float("-inf")
        self._told_at = float("-inf")

    def apply(self, batch: Batch) -> bool:
        """Handle the whole of a joint batch. False: nothing has come about, or nobody knows whether it has."""
        if self._clock() < self._not_before:
            return False
        failpoint("delivery.together")
        try:
            self._effects.apply(batch, len(batch), singly=False)
        except AttemptEnded as ended:
            pause_s = self._slow_pause_s() if isinstance(ended, TooLong) else self._back_off.fail()
            self._tell(batch, ended, pause_s)
            # Another thread may have found more that is in the way.
            self._not_before = max(self._not_before, self._clock() + pause_s)
            return False
        self._back_off.succeed()
        return True

    def _tell(self, batch: Batch, ended: AttemptEnded, pause_s: float) -> None:
        """Debug, but for now and then where it lasts: then deliveries are slower, and nobody else says why."""
        error = ended.error if isinstance(ended, MessageFailed | Unattributed | Trouble) else ended
        why = told(error)
        _log.debug("%s: %r each by itself for %.1f s: %s", self._binding, batch, pause_s, why)
        now = self._clock()
        if pause_s >= _WORTH_TELLING_S and now - self._told_at >= _TOLD_AGAIN_S:
            self._told_at = now
            _log.info(
                "%s: partitions are delivered each by itself for a while, which takes longer: %s "
                "(said once in 5 min)",
                self._binding,
                why,
            )

    def _slow_pause_s(self) -> float:
        """Longer each time; but what took long once, as when the database had to wait, was no rule."""
        before, self._slow_at = self._slow_at, self._clock()
        if self._slow_at - before > 2 * _SLOW_S:
            self._slow.succeed()
        return self._slow.fail()
