"""The order of a key within one call of `send`: after one that did not get through, nothing of its key does."""

from __future__ import annotations

from streambind.binding.outcome import Unknown

HELD_BACK = Unknown("it was not sent, because an earlier message of its key was not")
"""The result of a message that is held back: the broker does not have it."""


class KeyOrder:
    """Which keys go no further. Whoever sends messages one after the other asks for each whether it is held back,
    and tells which did not get through. Messages without a key have no order."""

    def __init__(self) -> None:
        self._stopped: set[bytes] = set()

    def holds_back(self, key: bytes | None) -> bool:
        """Whether an earlier message of the key did not get through."""
        return key in self._stopped

    def stop(self, key: bytes | None) -> None:
        """A message of the key did not get through, or nobody knows."""
        if key is not None:
            self._stopped.add(key)
