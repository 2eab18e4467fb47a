"""How fast a snapshot goes on, and what it shows meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from streambind.cli import snapshot as command
from streambind.event import JobType
from streambind.outbound.snapshot import Place, Step

BEGUN = Place(uuid.UUID(int=1), "shop.Item", None, None, JobType.UPDATE, rows=100, events=100)
BLOCKED = "rows are being written"


@dataclass
class Clock:
    """Stands still but while somebody sleeps."""

    now: float = 1_000.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if seconds > 0:
            self.pauses.append(round(seconds, 6))


@dataclass
class Chunks:
    """Steps of so many rows each, None for one that has to wait; each takes a second."""

    clock: Clock
    sizes: list[int | None]
    rows: int = BEGUN.rows

    def step(self, snapshot: UUID) -> Step:
        assert snapshot == BEGUN.snapshot
        self.clock.now += 1.0
        size = self.sizes.pop(0)
        if size is None:
            return Step(None, waits=BLOCKED)
        self.rows += size
        return Step(replace(BEGUN, rows=self.rows), done=not self.sizes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(command, "time", made)
    return made


def take(clock: Clock, sizes: Sequence[int | None], rate: float | None = None) -> Place:
    chunks: Any = Chunks(clock, [*sizes])
    return command._take(chunks, BEGUN, total=1_000, rate=rate)


def test_it_is_not_faster_than_it_may_be(clock: Clock) -> None:
    began = clock.now
    place = take(clock, [50, 50, 50, 0], rate=10)
    assert place.rows == BEGUN.rows + 150
    assert clock.pauses == [4.0, 4.0, 4.0]
    assert clock.now - began == 150 / 10 + 1


def test_rows_of_before_an_interruption_do_not_count_and_lost_time_is_made_good(clock: Clock) -> None:
    take(clock, [1, 1, 40, 0], rate=10)
    assert clock.pauses == [1.2]


def test_without_a_rate_it_does_not_rest(clock: Clock) -> None:
    take(clock, [50, 50, 0])
    assert clock.pauses == []


def test_where_something_is_in_the_way_it_waits_longer_and_longer_and_says_so_once(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    take(clock, [None] * 8 + [5, None, 0])
    assert clock.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.05]
    assert capsys.readouterr().err.count(f"waits: {BLOCKED}") == 2
