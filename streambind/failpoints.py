"""Named places where a test can make the process die or fail; nothing happens unless the environment asks for it.

`STREAMBIND_FAILPOINTS="relay.after_ack=kill@3,delivery.before_commit=raise"` kills the process (SIGKILL) when
the named point is passed for the third time, and raises at each passing of the second; with `stop` it stands still
(SIGSTOP) until somebody sends SIGCONT. Read once, at import: without the variable `failpoint` is a function that
does nothing.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable

_POINT = re.compile(r"([^=@]+)=(kill|stop|raise)(?:@([1-9][0-9]*))?")


class FailpointError(BaseException):
    """Raised by a failpoint set to `raise`. No error that anything handles: like a crash it ends what it meets."""


def _parse(text: str) -> dict[str, tuple[str, int | None]]:
    points: dict[str, tuple[str, int | None]] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        found = _POINT.fullmatch(part)
        if found is None:
            raise ValueError(f"STREAMBIND_FAILPOINTS: {part!r} is not of the form name=kill|stop|raise[@nth]")
        name, action, nth = found.groups()
        points[name] = (action, int(nth) if nth else None)
    return points


def _armed(points: dict[str, tuple[str, int | None]]) -> Callable[[str], None]:
    passed: dict[str, int] = {}
    lock = threading.Lock()

    def hit(name: str) -> None:
        if name not in points:
            return
        action, nth = points[name]
        with lock:
            passed[name] = passed.get(name, 0) + 1
            if nth is not None and passed[name] != nth:
                return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "stop":
            # To this thread: sent to the process, another thread may take it up while this one goes on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            return
        raise FailpointError(name)

    return hit


def _unarmed(name: str) -> None:
    """Nothing to do: no failpoint is set."""


_TEXT = os.environ.get("STREAMBIND_FAILPOINTS", "")
failpoint: Callable[[str], None] = _armed(_parse(_TEXT)) if _TEXT else _unarmed
