"""The thread that has batches read before their turn comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from streambind.binders.kafka.batch import KafkaBatch
from streambind.read_ahead import ReadAhead, Reader

PAUSE_S = 0.00005
"""After each step: a worker whose statement is answered finds the interpreter free, which is not given up else
before it has been asked for some milliseconds."""


class ReaderThread:
    """Has the `readers` read batches in the order in which they are asked for; a worker that needs one of them
    sooner reads the rest of it itself."""

    def __init__(self, binding: str, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._asked: SimpleQueue[ReadAhead | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=f"streambind-{binding}-ahead", daemon=True)
        self._is_stopping = False

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._is_stopping = True
        self._asked.put(None)

    def begin(self, batch: KafkaBatch) -> None:
        """Have the batch read, which nobody else sees yet."""
        batch.ahead = ReadAhead(batch, self._readers)
        self._asked.put(batch.ahead)

    def _run(self) -> None:
        while (ahead := self._asked.get()) is not None:
            while not self._is_stopping and ahead.step():
                time.sleep(PAUSE_S)
            del ahead  # Nothing is kept while there is nothing to do.
