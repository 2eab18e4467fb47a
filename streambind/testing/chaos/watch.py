"""Looking at services and databases while faults happen: that positions only move forwards, how long nothing moves
after a fault is over, and how much memory and backlog there is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streambind.testing.chaos.history import Kind, Violation
from streambind.testing.chaos.observed import ObservedDatabase
from streambind.testing.chaos.program import Program

_BETWEEN_S = 0.2


@dataclass(frozen=True)
class Bounds:
    """What may not be exceeded. Generous: they find what grows or stands still without end, on a slow machine
    too."""

    memory_mb: float = 600.0
    backlog: int = 200_000
    recovery_s: float = 120.0


@dataclass
class Observations:
    """`recoveries_s`: by kind of fault, how long after its end a group moved on."""

    recoveries_s: dict[str, list[float]] = field(default_factory=dict)
    memory_mb: float = 0.0
    backlog: int = 0
    parked_keys: int = 0
    violations: list[Violation] = field(default_factory=list)


class Watch:
    """A thread that looks, from `start` to `stop`."""

    def __init__(
        self, databases: Sequence[ObservedDatabase], programs: Sequence[Program], *, bounds: Bounds
    ) -> None:
        self.seen = Observations()
        self._databases = databases
        self._programs = programs
        self._bounds = bounds
        self._last: dict[tuple[str, str, str, int], int] = {}
        self._ended: list[tuple[float, str]] = []
        self._told: set[Kind] = set()
        self.has_moved = threading.Event()
        """Set once any group has come further than where it began."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streambind-chaos-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Faults that nothing has recovered from by now are not counted: the drain tells whether all did."""
        self._stop.set()
        self._thread.join()

    def fault_ended(self, kind: str) -> None:
        """A fault is over: from now on its recovery is measured."""
        with self._lock:
            self._ended.append((time.monotonic(), kind))

    def _run(self) -> None:
        while not self._stop.wait(_BETWEEN_S):
            self.look()

    def look(self) -> None:
        """Once."""
        began = time.monotonic()
        moved = [self._has_moved(database) for database in self._databases]
        if any(moved):
            self.has_moved.set()
            self._recovered(began)
        for database in self._databases:
            self.seen.parked_keys = max(self.seen.parked_keys, database.parked() or 0)
            self._grown("outbox of " + database.name, database.backlog() or 0)
        for program in self._programs:
            self._uses(program.name, resident_mb(program.pid))

    def _has_moved(self, database: ObservedDatabase) -> bool:
        moved = False
        for position in database.positions() or ():
            place = (database.name, position.group, position.destination, position.partition)
            before = self._last.get(place)
            self._last[place] = position.next_offset
            if before is None:
                moved = moved or position.next_offset > 0
            elif position.next_offset > before:
                moved = True
            elif position.next_offset < before:
                where = f"{position.destination}[{position.partition}] of group {position.group}"
                text = f"{where} went from {before} back to {position.next_offset}"
                self.seen.violations.append(Violation(Kind.POSITION, text))
        return moved

    def _recovered(self, at: float) -> None:
        with self._lock:
            over = [(ended, kind) for ended, kind in self._ended if ended <= at]
            self._ended = [each for each in self._ended if each not in over]
        for ended, kind in over:
            took_s = at - ended
            self.seen.recoveries_s.setdefault(kind, []).append(took_s)
            if took_s > self._bounds.recovery_s:
                self._violated(Kind.STANDSTILL, f"nothing moved for {took_s:.0f} s after {kind}")

    def _grown(self, what: str, backlog: int) -> None:
        self.seen.backlog = max(self.seen.backlog, backlog)
        if backlog > self._bounds.backlog:
            self._violated(Kind.GROWTH, f"{what} holds {backlog} messages, more than {self._bounds.backlog}")

    def _uses(self, program: str, memory_mb: float) -> None:
        self.seen.memory_mb = max(self.seen.memory_mb, memory_mb)
        if memory_mb > self._bounds.memory_mb:
            self._violated(Kind.GROWTH, f"{program} uses {memory_mb:.0f} MB, more than {self._bounds.memory_mb:g}")

    def _violated(self, kind: Kind, text: str) -> None:
        """Once per kind: what goes on is seen in every look."""
        if kind not in self._told:
            self._told.add(kind)
            self.seen.violations.append(Violation(kind, text))


def resident_mb(pid: int | None) -> float:
    """The memory that a process occupies; 0 where this system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def summary(recoveries_s: Mapping[str, Sequence[float]]) -> dict[str, tuple[int, float, float]]:
    """How many recoveries there were of each kind, the median and the longest."""
    return {
        kind: (len(each), sorted(each)[len(each) // 2], max(each)) for kind, each in sorted(recoveries_s.items())
    }
