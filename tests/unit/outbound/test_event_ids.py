"""Ids of events."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from uuid import UUID

import pytest

from streambind.outbound.event_ids import event_ids, new_event_id


def by_the_piece() -> list[str]:
    return [new_event_id() for _ in range(100)]


def together() -> list[str]:
    return [*islice(event_ids(30), 100)]


def more_than_none_was_expected() -> list[str]:
    return [*islice(event_ids(0), 100)]


@pytest.mark.parametrize("made", [by_the_piece, together, more_than_none_was_expected])
def test_they_are_texts_of_version_7_that_begin_with_the_time(made: Callable[[], list[str]]) -> None:
    before = time.time_ns() // 1_000_000
    ids = made()
    after = time.time_ns() // 1_000_000

    assert len(set(ids)) == 100
    for event_id in map(UUID, ids):
        assert (event_id.version, event_id.variant) == (7, "specified in RFC 4122")
        assert before <= event_id.int >> 80 <= after
    assert ids == [str(UUID(each)) for each in ids]


def test_every_digit_that_is_no_mark_is_random() -> None:
    """74 bits: two of the variant's digit, four of each other digit behind the time, but for the version's."""
    digits = [each.replace("-", "") for each in islice(event_ids(1000), 1000)]

    for place in range(12, 32):
        seen = {each[place] for each in digits}
        assert seen == {12: set("7"), 16: set("89ab")}.get(place, set("0123456789abcdef"))
