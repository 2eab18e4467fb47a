"""Pauses between tries."""

from __future__ import annotations

from streambind.back_off import BackOff


def test_pauses_double_up_to_thirty_seconds_and_start_again_after_success() -> None:
    longest = BackOff(jitter=lambda: 1.0)

    assert [round(longest.fail(), 1) for _ in range(11)] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0,
    ]  # fmt: skip
    longest.succeed()
    assert longest.fail() == 0.1


def test_jitter_takes_away_half_at_most() -> None:
    assert BackOff(jitter=lambda: 0.0).fail() == 0.05


def test_the_first_pause_is_never_longer_than_the_longest() -> None:
    short = BackOff(first_s=1.0, longest_s=0.2, jitter=lambda: 1.0)
    assert [short.fail(), short.fail()] == [0.2, 0.2]
    short.succeed()
    assert short.fail() == 0.2
