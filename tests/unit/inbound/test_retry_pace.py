"""The worker of parked keys leaves time to those that are delivered meanwhile."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from streambind.binding.binder import Lane
from streambind.configuration.parking_properties import ParkingProperties
from streambind.inbound import retry_worker
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.parked_retry import ParkedRetry, Turn
from streambind.inbound.retry_worker import RetryWorker
from streambind.inbound.statistics import DeliveryStatistics

TURNS_S = (0.25, 0.5, 0.0625)


class Clock:
    """Stands still but for what turns and pauses take."""

    def __init__(self) -> None:
        self.now = 0.0
        self.paused: list[float] = []

    def monotonic(self) -> float:
        return self.now


class Stopping(threading.Event):
    """Of a worker that has its turns, and no others. Nobody waits for real."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._left = len(TURNS_S)

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.paused.append(timeout)
        self._clock.now += timeout
        return False


def pauses(
    monkeypatch: pytest.MonkeyPatch, statistics: DeliveryStatistics, *, claimed: bool = True
) -> list[float]:
    clock = Clock()
    monkeypatch.setattr(retry_worker, "time", clock)
    left = iter(TURNS_S)

    class Retry:
        def turn(self) -> Turn:
            clock.now += next(left)
            return Turn(claimed=claimed, due_in_ms=None)

    worker = RetryWorker(
        "in-things",
        cast(ParkedRetry, Retry()),
        poll_interval_ms=1,
        mass_failure=MassFailure(ParkingProperties()),
        others_busy=lambda: statistics.is_delivering,
    )
    worker._run(threading.Event(), Stopping(clock))
    return clock.paused


def test_it_rests_as_long_as_each_turn_took_while_messages_are_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = DeliveryStatistics()
    with statistics.delivering(Lane("things", 0)):
        assert pauses(monkeypatch, statistics) == [*TURNS_S]


def test_it_does_not_while_none_are(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = DeliveryStatistics()
    with statistics.delivering(Lane("things", 0)):
        pass
    with statistics.delivering(None):  # A try of its own.
        assert pauses(monkeypatch, statistics) == []


def test_trouble_is_waited_for_at_random_so_that_workers_do_not_come_back_at_once() -> None:
    worker = RetryWorker(
        "in-things",
        cast(ParkedRetry, None),
        poll_interval_ms=1,
        mass_failure=MassFailure(ParkingProperties()),
    )

    pauses_s = [worker._troubled(OSError("away")) for _ in range(30)]

    assert all(15 <= pause_s <= 30 for pause_s in pauses_s[9:])
    assert len(set(pauses_s[9:])) > 1


def test_a_turn_that_found_nothing_needs_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = DeliveryStatistics()
    with statistics.delivering(Lane("things", 0)):
        assert pauses(monkeypatch, statistics, claimed=False) == []
