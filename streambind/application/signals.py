"""Ending a program by signals: the first lets it drain, the second ends it at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("streambind")


@contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets, for the length of the block; a second one ends the process. On the
    main thread only: signals go there."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("%s: draining; once more ends at once", signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
