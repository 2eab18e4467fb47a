"""The wall clock of a process, as its Python code sees it, off by what a file says: imported before anything else.

The file is named by CLOCK_OFFSET_FILE and read at every look at the clock. Clocks that only measure are right.
"""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

_right, _right_ns = time.time, time.time_ns


def _offset_s() -> int:
    return int(Path(os.environ["CLOCK_OFFSET_FILE"]).read_text())


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Datetime:
        return cls.fromtimestamp(time.time(), tz)


if "CLOCK_OFFSET_FILE" in os.environ:
    time.time = lambda: _right() + _offset_s()
    time.time_ns = lambda: _right_ns() + _offset_s() * 10**9
    datetime.datetime = _Datetime  # type: ignore[misc]
