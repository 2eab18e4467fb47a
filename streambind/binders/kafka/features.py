"""What a broker offers, as it tells every client when it connects.

The client has no door for it but its own debug log; asking beats waiting, since a broker that does not know the
newer group protocol answers it with silence, for ever.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient

from streambind.binders.kafka.error_mapping import broker_error

CONSUMER_GROUP_HEARTBEAT = 68
_OFFERED = re.compile(r"ApiKey \w+ \((\d+)\) Versions")
_END = "enabled protocol features"
_POLL_S = 0.02


class _Listener:
    """Takes the client's log, and keeps the numbers of the requests that the broker knows."""

    def __init__(self) -> None:
        self.offered: set[int] = set()
        self.complete = threading.Event()

    def log(self, _level: int, message: str, *args: object) -> None:
        line = message % args if args else message
        if match := _OFFERED.search(line):
            self.offered.add(int(match[1]))
        elif _END in line and self.offered:
            self.complete.set()


def offers(settings: Mapping[str, str], request: int, timeout_s: float) -> bool:
    """Whether the first broker that answers knows a request.

    Raises:
        BrokerUnavailableError: none answers within the time.
    """
    listener = _Listener()
    deadline = time.monotonic() + timeout_s
    try:
        client = AdminClient({**settings, "debug": "feature", "log_level": "7"}, logger=listener)
        client.list_topics(timeout=timeout_s)
    except Exception as exc:
        raise broker_error(exc, "asking the broker what it offers") from exc
    while not listener.complete.is_set() and time.monotonic() < deadline:
        client.poll(_POLL_S)
    return request in listener.offered
