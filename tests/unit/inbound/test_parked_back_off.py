"""When a parked key is tried next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.properties import ParkingProperties
from streambind.inbound.parked_back_off import ParkedBackOff

SETTINGS = ParkingProperties()


def test_pauses_grow_to_the_longest_and_the_last_failure_is_the_end() -> None:
    back_off = ParkedBackOff(SETTINGS)
    delays = [back_off.retry_ms(failures) for failures in range(1, 21)]
    assert delays[:7] == [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]
    assert delays[18:] == [300_000, None]


def test_no_number_of_tries_is_too_large_to_compute() -> None:
    back_off = ParkedBackOff(ParkingProperties(max_attempts=10**9))
    assert back_off.pause_ms(10**8) == 300_000
    assert back_off.retry_ms(10**8) == 300_000


def test_pauses_grow_while_failures_are_excused() -> None:
    back_off = ParkedBackOff(SETTINGS)
    assert [back_off.pause_ms(1, excused_ms=lasts) for lasts in (0, 5_000, 60_000, 10**9)] == [
        10_000,
        10_000,
        60_000,
        300_000,
    ]


@given(st.integers(min_value=-1_000, max_value=SETTINGS.gap_timeout_ms - 1))
def test_a_gap_is_looked_at_until_the_time_is_over_and_then_once_more(waited_ms: int) -> None:
    delay = ParkedBackOff(SETTINGS).gap_ms(waited_ms)
    assert delay is not None
    assert 1 <= delay <= 300_000
    assert waited_ms + delay <= SETTINGS.gap_timeout_ms


def test_a_gap_that_has_lasted_long_enough_is_given_up() -> None:
    assert ParkedBackOff(SETTINGS).gap_ms(SETTINGS.gap_timeout_ms) is None


def test_looks_at_a_gap_come_at_growing_distances() -> None:
    back_off, waited, looks = ParkedBackOff(SETTINGS), 0, 0
    while (delay := back_off.gap_ms(waited)) is not None:
        waited, looks = waited + delay, looks + 1
    assert waited == SETTINGS.gap_timeout_ms
    assert looks < 15
