"""How long what a test takes away stays away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from streambind.testing.eventually import eventually

OUTAGE_S = float(os.environ.get("STREAMBIND_TEST_OUTAGE_S", "0"))
"""At least so long, and as long as the test needs to show something: seconds by default, minutes by hand."""
_MORE_S = 60.0


def outlast(count: Callable[[], int], more: int, tail: Callable[[], str]) -> None:
    """Wait while it lasts: until there are so many more, which there must be within a minute."""
    end, wanted = time.monotonic() + OUTAGE_S, count() + more
    eventually(lambda: count() > wanted, _MORE_S, tail)
    eventually(lambda: time.monotonic() >= end, OUTAGE_S + _MORE_S, tail)
