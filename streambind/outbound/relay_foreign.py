"""Destinations in the outbox that no output of this application leads to: renamed ones, or another service's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import islice

log = logging.getLogger("streambind.relay")

_AGAIN_S = 30.0
_SHOWN = 10


class Foreign:
    """Knows them, so that they get neither a thread nor a look at their rows. However many there are, the log and
    `troubles` name a few. Used by the relay's thread; only `troubles` may be called from others.

    `is_ours` says whether an output of this application leads to a destination.
    """

    def __init__(self, is_ours: Callable[[str], bool], *, clock: Callable[[], float]) -> None:
        self._is_ours = is_ours
        self._clock = clock
        self._names: dict[str, str] = {}
        self._untold: dict[str, str] = {}
        self._look_at = 0.0
        self._tell_at = 0.0

    def note(self, destination: str, binding: str) -> None:
        """One of them, for which rows of `binding` have been read."""
        if not self._names:
            self._look_at = self._clock() + _AGAIN_S
        self._names[destination] = self._untold[destination] = binding

    def names(self) -> frozenset[str]:
        """All of them; whether they still are is asked again from time to time."""
        now = self._clock()
        if self._names and now >= self._look_at:
            self._look_at = now + _AGAIN_S
            self._names = {name: binding for name, binding in self._names.items() if not self._is_ours(name)}
        if self._untold and now >= self._tell_at:
            self._tell_at = now + _AGAIN_S
            untold, self._untold = self._untold, {}
            _tell(untold)
        return frozenset(self._names)

    def troubles(self) -> dict[str, str]:
        """A few of them, and how many more there are, for people."""
        names = list(self._names)
        more = f" (nor to {len(names) - _SHOWN} more)" if len(names) > _SHOWN else ""
        return dict.fromkeys(names[:_SHOWN], f"no output binding of this application leads there{more}")


def _tell(untold: Mapping[str, str]) -> None:
    few = [f"{name} (written for binding {binding})" for name, binding in islice(untold.items(), _SHOWN)]
    more = f" and {len(untold) - len(few)} more destinations" if len(untold) > len(few) else ""
    log.error(
        "relay: rows for destination %s%s stay in the outbox: no output binding of this application leads there. "
        "Bind it again under that destination; if the rows are another service's, give each service tables of its "
        "own (streambind.datasource.schema)",
        ", ".join(few),
        more,
    )
