"""What a failure has taught, for as long as it pays to remember it."""

from __future__ import annotations

_FIRST, _MOST = 16, 4096


class Caution:
    """Whether batches are to be handled in a way that costs more: for some of them after each one that has failed
    for want of it, then it is tried without. Each failure in a row doubles for how many, up to thousands, so that
    where it is needed always little is lost by trying. Threads may race: a count more or less does not matter.
    """

    __slots__ = ("_calm", "_left", "_next")

    def __init__(self) -> None:
        self._left = 0
        self._next = _FIRST
        self._calm = 0

    @property
    def is_due(self) -> bool:
        return self._left > 0

    def learn(self) -> None:
        """A batch has failed for want of it."""
        if self._calm > self._next:
            self._next = _FIRST
        self._left, self._next, self._calm = self._next, min(self._next * 2, _MOST), 0

    def passed(self) -> None:
        """A batch went well, in either way."""
        if self._left > 0:
            self._left -= 1
        else:
            self._calm += 1
