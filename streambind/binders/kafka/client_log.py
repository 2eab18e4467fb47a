"""librdkafka's own log lines on the binder's logger, without the hundreds that an outage makes."""

from __future__ import annotations

import logging
import re
import threading
import time

LOG = logging.getLogger("streambind.binders.kafka")

QUIET_S = 30.0
_MOST_KEPT = 500
_PASSING = re.compile(r"Failed to acquire (idempotence|transactional) PID .*retrying")
"""What every new producer may say while its coordinator is elected: it tries again by itself."""
_OURS = re.compile(r"enable\.gapless\.guarantee is experimental|Gap-less ordering would not")
"""What an output has asked for, and what it reports itself."""
_VARYING = re.compile(r"\(after \d+ms.*|\d+ms|\b\d{5,}\b")


class ClientLog:
    """What a client takes for its logger. A line that only repeats another one is kept back for a while; how
    often is said when it is let through again. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def log(self, level: int, message: str, *args: object) -> None:
        text = message % args if args else message
        if _PASSING.search(text) or _OURS.search(text):
            level = logging.DEBUG
        key = _VARYING.sub("", text)
        if not LOG.isEnabledFor(level):
            return
        now = time.monotonic()
        with self._lock:
            quiet_until, held_back = self._seen.get(key, (0.0, 0))
            if now < quiet_until:
                self._seen[key] = (quiet_until, held_back + 1)
                return
            if len(self._seen) >= _MOST_KEPT:
                self._seen.clear()
            self._seen[key] = (now + QUIET_S, 0)
        LOG.log(level, f"{message}%s", *args, f" ({held_back} more like it)" if held_back else "")
