"""Ids of events: UUIDs of version 7, as text. Those of one process sort by their millisecond, which keeps indexes
on them compact."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

_BYTES = 10
_DIGITS = 2 * _BYTES
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def new_event_id() -> str:
    """One new id."""
    return next(event_ids(1))


def event_ids(expected: int) -> Iterator[str]:
    """New ids without end, to be taken now; drawn together, for as many as are expected."""
    while True:
        time_ms = f"{time.time_ns() // 1_000_000:012x}"
        stem = f"{time_ms[:8]}-{time_ms[8:]}-7"
        random = os.urandom(_BYTES * max(1, expected)).hex()
        for at in range(0, len(random), _DIGITS):
            variant = _VARIANT[random[at + 3]]
            yield f"{stem}{random[at : at + 3]}-{variant}{random[at + 4 : at + 7]}-{random[at + 7 : at + 19]}"
