"""What a header says of the time of a commit, and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.freshness import behind_s, committed_ms
from streambind.message import COMMITTED


@given(st.integers(0, 10**14 - 1))
def test_a_time_comes_back(milliseconds: int) -> None:
    assert committed_ms([(COMMITTED, b"%d" % milliseconds)]) == milliseconds


@given(st.none() | st.binary(max_size=30))
def test_whatever_the_header_holds_it_is_a_time_or_unknown(value: bytes | None) -> None:
    found = committed_ms([(COMMITTED, value)])
    assert found is None or (value is not None and found == int(value) < 10**14)


def test_a_message_without_the_header_says_nothing() -> None:
    assert committed_ms([("sb-event-id", b"1")]) is None


@pytest.mark.parametrize(
    ("since_ms", "expected"), [(None, None), (1_000, 9.0), (10_000, 0.0), (12_000, 0.0), (70_001, None)]
)
def test_seconds_behind(since_ms: int | None, expected: float | None) -> None:
    """A clock that is a little ahead is no reason for a negative age, one that is far ahead says nothing."""
    assert behind_s(since_ms, 10_000) == expected
