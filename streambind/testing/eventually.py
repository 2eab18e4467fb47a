"""Waiting in tests: a condition and a deadline, never a pause of fixed length."""

from __future__ import annotations

import time
from collections.abc import Callable

_BETWEEN_S = 0.005


def eventually(condition: Callable[[], object], within_s: float, describe: Callable[[], str] | str) -> None:
    """Return as soon as `condition` holds.

    Raises:
        AssertionError: it does not hold within the time; the text says what `describe` knows by then.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            text = describe if isinstance(describe, str) else describe()
            raise AssertionError(f"not within {within_s:g} s: {text}")
        time.sleep(_BETWEEN_S)
