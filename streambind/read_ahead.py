"""What is read of a batch before its turn comes, while the one before it waits for a database."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from typing import Any, Protocol

from streambind.message import Batch

READ_AT_ONCE = 100
"""How many messages are read at a step."""


class Reader(Protocol):
    """Reads batches ahead, and asks `found_ahead` when their turn has come."""

    def read_ahead(self, batch: Batch) -> Generator[None, None, Any]:
        """What it wants to know of the batch, not None. Has no effects; yields after little work each time, and
        whoever goes on may be another thread. If it raises, nothing is found: what is wrong with a message is told
        when its turn has come."""
        ...


class ReadAhead:
    """A batch that is being read, a little at each `step`, by any thread."""

    def __init__(self, batch: Batch, readers: Sequence[Reader]) -> None:
        self._found: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._steps = self._read(batch, readers)
        self._is_dropped = False

    def step(self) -> bool:
        """Read a little; False if there is nothing left to read."""
        with self._lock:
            if self._is_dropped:
                self._steps.close()  # It holds the batch, which holds it: no collector need find that.
            return next(self._steps, self) is not self

    def drop(self) -> None:
        """Nobody wants it any more."""
        self._is_dropped = True

    def found_by(self, reader: Reader) -> Any:
        """What the reader has found, None if nothing; what is not read yet is read now."""
        with self._lock:
            for _ in self._steps:
                pass
        return self._found.get(id(reader))

    def _read(self, batch: Batch, readers: Sequence[Reader]) -> Generator[None, None, None]:
        for reader in readers:
            try:
                self._found[id(reader)] = yield from reader.read_ahead(batch)
            except GeneratorExit:
                raise
            except BaseException:  # noqa: BLE001 -- whatever it is, it happens again when the message's turn has come.
                continue


def found_ahead(batch: Batch, reader: Reader) -> Any:
    """What a reader has found in a batch that was read ahead; None if it was not, or nothing came of it."""
    ahead: ReadAhead | None = getattr(batch, "ahead", None)
    return None if ahead is None else ahead.found_by(reader)
