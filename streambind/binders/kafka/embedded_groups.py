"""Groups of the embedded broker that begin anew at once when all members have left.

The broker by itself lets a group wait for its session time-out, less a second, after every departure, even when
nobody is left: whoever restarts a service waits for it. It gives a group that it does not know yet no such delay.
So each life of a group, from its first member to its last, goes to the broker under a name of its own; offsets
are kept under the group's.
"""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import dataclass, field

from streambind.binders.kafka.embedded_wire import (
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    SYNC_GROUP,
    Reader,
    Request,
    text,
)

_FLEXIBLE_FROM = {HEARTBEAT: 4, JOIN_GROUP: 6, LEAVE_GROUP: 4, SYNC_GROUP: 4}
"""From then on the groups' names stand elsewhere; clients that ask so are left alone."""


@dataclass
class _Life:
    """`members`: until when each connection with a member in it counts, on the monotonic clock; `session_s`: how
    long after its last request."""

    number: int = 0
    session_s: float = 0.0
    members: dict[object, float] = field(default_factory=dict)


class Groups:
    """All groups of one broker. Thread-safe; a member is known by its connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lives: dict[str, _Life] = {}

    def renamed(self, frame: bytes, request: Request, connection: object) -> bytes:
        """A request for the group's membership as the broker is to see it; any other as it is."""
        if request.version >= _FLEXIBLE_FROM.get(request.api, 0):
            return frame
        reader = Reader(frame, request.body)
        group = reader.text() or ""
        with self._lock:
            life = self._lives.setdefault(group, _Life())
            if request.api == JOIN_GROUP:
                (session_ms,) = struct.unpack_from(">i", frame, reader.at)
                self._joins(life, connection, session_ms / 1000)
            elif request.api == LEAVE_GROUP:
                life.members.pop(connection, None)
            elif connection in life.members:
                life.members[connection] = time.monotonic() + life.session_s
            name = f"{group}#{life.number}"
        return frame[: request.body] + text(name) + frame[reader.at :]

    @staticmethod
    def _joins(life: _Life, connection: object, session_s: float) -> None:
        now = time.monotonic()
        life.members = {member: until for member, until in life.members.items() if until > now}
        if not life.members:
            life.number += 1
        life.session_s = session_s
        life.members[connection] = now + session_s
