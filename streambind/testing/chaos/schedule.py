"""Which fault comes when: by a seed, and until a time."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from streambind.testing.chaos.faults import Fault, Undo

_BETWEEN_S = (0.1, 1.2)
_TICK_S = 0.05


@dataclass(frozen=True)
class Plan:
    """How long faults happen, and the seed of their order, their targets and their pauses. What the machine makes
    of it is not the same twice."""

    seconds: float
    seed: int


class Schedule:
    """Deals out faults: every kind once before any comes again. Used from one thread."""

    def __init__(
        self,
        faults: Sequence[Fault],
        plan: Plan,
        *,
        ended: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`ended` is told the kind of each fault when it is over."""
        self.counts: Counter[str] = Counter()
        self._faults = list(faults)
        self._plan = plan
        self._chance = Random(plan.seed)
        self._ended = ended
        self._clock = clock
        self._sleep = sleep
        self._due: list[tuple[float, int, str, Undo]] = []
        self._numbers = itertools.count()

    def run(self, meanwhile: Callable[[], None]) -> None:
        """Until the plan's time is over; then everything that was broken is mended. `meanwhile` is called again
        and again."""
        deadline = self._clock() + self._plan.seconds
        next_at = self._clock() + self._chance.uniform(*_BETWEEN_S)
        deal = self._deal()
        try:
            while (now := self._clock()) < deadline:
                self._mend(now)
                if self._faults and now >= next_at:
                    self._strike(next(deal))
                    next_at = self._clock() + self._chance.uniform(*_BETWEEN_S)
                meanwhile()
                self._sleep(_TICK_S)
        finally:
            self._mend(float("inf"))

    def _strike(self, fault: Fault) -> None:
        def after(seconds: float, undo: Undo) -> None:
            due = (self._clock() + seconds, next(self._numbers), fault.kind, undo)
            heapq.heappush(self._due, due)

        if fault.strike(self._chance, after) is not None:
            self.counts[fault.kind] += 1

    def _mend(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, kind, undo = heapq.heappop(self._due)
            undo()
            self._ended(kind)

    def _deal(self) -> Iterator[Fault]:
        while True:
            self._chance.shuffle(self._faults)
            yield from self._faults
