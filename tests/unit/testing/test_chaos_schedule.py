"""Faults come by the seed, each kind before any comes again, and what they broke is mended."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from streambind.testing.chaos.schedule import Plan, Schedule


@dataclass
class Noted:
    """A fault that writes down what happens."""

    kind: str
    log: list[str]
    hits: bool = True
    lasts_s: float = 0.0
    targets: list[float] = field(default_factory=list)

    def strike(self, chance: Random, after: Callable[[float, Callable[[], None]], None]) -> str | None:
        if not self.hits:
            return None
        self.log.append(self.kind)
        self.targets.append(chance.random())
        after(self.lasts_s, lambda: self.log.append(f"end of {self.kind}"))
        return "it"


def _schedule(
    faults: Sequence[Noted], *, seconds: float, seed: int = 1, ended: Callable[[str], None] = lambda _: None
) -> Schedule:
    """On a clock that goes on a tenth of a second whenever it is asked."""
    ticks = itertools.count()
    plan = Plan(seconds, seed)
    return Schedule(faults, plan, ended=ended, clock=lambda: next(ticks) / 10, sleep=lambda _: None)


def _run(seed: int, *kinds: str) -> tuple[list[str], list[float]]:
    log: list[str] = []
    faults = [Noted(kind, log) for kind in kinds]
    _schedule(faults, seconds=60, seed=seed).run(lambda: None)
    return [entry for entry in log if not entry.startswith("end")], [t for fault in faults for t in fault.targets]


def test_the_same_seed_gives_the_same_faults_on_the_same_targets() -> None:
    assert _run(7, "a", "b", "c") == _run(7, "a", "b", "c")
    assert _run(7, "a", "b", "c") != _run(8, "a", "b", "c")


def test_every_kind_comes_before_any_comes_again() -> None:
    log, _ = _run(3, "a", "b", "c")
    rounds = [set(log[start : start + 3]) for start in range(0, len(log) - 3, 3)]
    assert len(rounds) > 5
    assert all(each == {"a", "b", "c"} for each in rounds)


def test_what_is_broken_at_the_end_is_mended_and_told() -> None:
    log: list[str] = []
    ended: list[str] = []
    made = _schedule([Noted("a", log, lasts_s=1e9)], seconds=5, ended=ended.append)
    made.run(lambda: None)
    assert made.counts["a"] == log.count("a") == log.count("end of a") == len(ended) > 0


def test_it_is_mended_when_the_run_fails_too() -> None:
    log: list[str] = []

    def fail() -> None:
        if log:
            raise RuntimeError("a test of the user's")

    made = _schedule([Noted("a", log, lasts_s=1e9)], seconds=60)
    with pytest.raises(RuntimeError):
        made.run(fail)
    assert log == ["a", "end of a"]


def test_a_fault_without_target_does_not_count() -> None:
    made = _schedule([Noted("a", [], hits=False)], seconds=20)
    made.run(lambda: None)
    assert made.counts == {}
