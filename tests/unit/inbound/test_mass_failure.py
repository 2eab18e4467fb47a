"""When failing keys are an outage."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from streambind.configuration.properties import ParkingProperties
from streambind.errors import DecodeError, PermanentError
from streambind.inbound.mass_failure import MassFailure


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def of(clock: Clock, *, keys: int = 3, share: float = 0.5) -> MassFailure:
    settings = ParkingProperties(mass_failure_keys=keys, mass_failure_share=share, mass_failure_window_ms=60_000)
    return MassFailure(settings, clock=clock)


def fail(mass_failure: MassFailure, *keys: str) -> list[bool]:
    return [mass_failure.count_failure(key.encode(), OSError("away")) for key in keys]


def test_it_opens_with_enough_keys_and_a_large_enough_share() -> None:
    mass_failure = of(Clock())
    assert fail(mass_failure, "a", "b", "c", "d") == [False, False, True, True]
    assert mass_failure.is_open


def test_one_key_that_fails_often_is_no_mass() -> None:
    assert not any(fail(of(Clock()), *"aaaaaaaaab"))


def test_few_failures_among_many_messages_are_no_mass() -> None:
    mass_failure = of(Clock(), keys=3, share=0.2)
    mass_failure.handled(16)
    assert fail(mass_failure, "a", "b", "c") == [False, False, False]
    assert fail(mass_failure, "d") == [True]


def test_what_lies_before_the_window_is_forgotten() -> None:
    clock = Clock()
    mass_failure = of(clock)
    fail(mass_failure, "a", "b")
    clock.now += 60
    assert fail(mass_failure, "c", "d") == [False, False]
    mass_failure.handled(1_000)
    clock.now += 60
    mass_failure.handled(1)
    assert fail(mass_failure, "e", "f", "g") == [False, False, True]


def test_after_a_window_one_message_is_the_probe_and_the_next_failing_key_opens_it_again() -> None:
    clock = Clock()
    mass_failure = of(clock)
    fail(mass_failure, "a", "b", "c")
    clock.now += 59
    assert fail(mass_failure, "c") == [True]
    clock.now += 1
    assert not mass_failure.is_open
    assert fail(mass_failure, "c") == [False]
    assert fail(mass_failure, "d") == [True]
    assert mass_failure.is_open


def test_it_stays_closed_after_a_probe_when_messages_are_handled_again() -> None:
    clock = Clock()
    mass_failure = of(clock, share=0.2)
    fail(mass_failure, "a", "b", "c")
    clock.now += 60
    assert fail(mass_failure, "c") == [False]
    mass_failure.handled(20)
    assert fail(mass_failure, "d", "e", "f") == [False, False, False]
    clock.now += 60
    assert fail(mass_failure, "g", "h") == [False, False]


@pytest.mark.parametrize("error", [DecodeError("no JSON"), PermanentError("no such item")])
def test_what_does_not_fit_is_no_outage_and_waits_for_none(error: Exception) -> None:
    mass_failure = of(Clock())
    garbage = [f"g{n}".encode() for n in range(30)]
    assert not any(mass_failure.count_failure(key, error) for key in garbage)
    assert all(mass_failure.excused_ms(key, error) is None for key in garbage)
    assert not mass_failure.is_open
    assert fail(mass_failure, "a", "b", "c") == [False, False, True]
    assert not mass_failure.count_failure(b"g", error)


def test_an_excuse_lasts_for_a_day() -> None:
    clock = Clock()
    mass_failure = of(clock, keys=2)

    def excused(key: bytes) -> int | None:
        return mass_failure.excused_ms(key, OSError("away"))

    assert [excused(b"a"), excused(b"b")] == [None, 0]
    clock.now += 3600
    assert excused(b"a") == 3_600_000
    clock.now += 23 * 3600
    assert [excused(b"a"), excused(b"b")] == [None, None]
    mass_failure.drained()
    assert [excused(b"a"), excused(b"b")] == [None, 0]


def test_parked_keys_that_fail_one_after_the_other_are_excused_until_something_is_handled() -> None:
    clock = Clock()
    mass_failure = of(clock)

    def excuses(*keys: str) -> list[bool]:
        clock.now += 300
        return [mass_failure.excused_ms(key.encode(), OSError("away")) is not None for key in keys]

    assert excuses("a", "b", "a", "b") == [False] * 4
    assert excuses("c", "a", "d") == [True] * 3
    mass_failure.drained()
    assert excuses("a", "b", "c") == [False, False, True]
    mass_failure.handled(0)
    assert excuses("a") == [True]
    mass_failure.handled(1)
    assert excuses("a", "b") == [False, False]
