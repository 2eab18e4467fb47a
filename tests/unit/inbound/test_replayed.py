"""Marks of replayed messages: read as they were written, and believed at their place only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.binding.outcome import Outcome
from streambind.configuration.properties import DeadLetterFormat
from streambind.inbound.dead_letter import Failure, dead_letter
from streambind.inbound.letter import read_letter
from streambind.inbound.letter_headers import REPLAY, REPLAY_CAME_FROM, REPLAY_COUNT, REPLAY_LETTER
from streambind.inbound.replayed import ReplayMark, delivers_replays, replay_mark
from streambind.message import Batch, Message
from tests.unit.inbound.batches import ListBatch, Record

NUMBERS = st.integers(0, 2**59)
PLACES = st.tuples(st.text(min_size=1, max_size=20), st.integers(0, 2**31 - 1), NUMBERS, NUMBERS)
CAME_FROM = ("things", 3, 17, 1_660_000_000_123)
MARK = ReplayMark(("error.things.g", 1, 5, 1_660_000_000_456), CAME_FROM, 2, "ann")


@given(letter=PLACES, came_from=PLACES, count=NUMBERS, by=st.text(max_size=20))
def test_a_mark_is_read_as_it_was_written_and_replaces_the_one_before(
    letter: tuple[str, int, int, int], came_from: tuple[str, int, int, int], count: int, by: str
) -> None:
    mark = ReplayMark(letter, came_from, count, by)
    before = MARK.put_on([("type", b"x")])
    headers = mark.put_on(before)
    assert replay_mark(headers) == mark
    assert ("type", b"x") in headers
    assert len([name for name, _ in headers if name.startswith(REPLAY)]) == 4


@given(
    st.lists(
        st.tuples(
            st.sampled_from([REPLAY_LETTER, REPLAY_CAME_FROM, REPLAY_COUNT]),
            st.one_of(
                st.none(),
                st.binary(max_size=40),
                st.sampled_from(
                    [b"a/1/2/3", b"1", b"a/-1/2/3", b"a///", b"a/99999999999/5/1", b"a/5/9%018d/1" % 1]
                ),
            ),
        ),
        max_size=6,
    )
)
def test_any_bytes_are_a_mark_or_none(headers: list[tuple[str, bytes | None]]) -> None:
    mark = replay_mark(headers)
    if mark is None:
        return
    assert mark.count >= 0
    assert min(*mark.came_from[1:], *mark.letter[1:]) >= 0
    destination, partition, offset, timestamp_ms = mark.came_from
    message = Message(b"", destination=destination, partition=partition, offset=offset, timestamp_ms=timestamp_ms)
    for form in DeadLetterFormat:
        letter = dead_letter(message, Failure(ValueError("x"), 1, 1), form=form, group="g")
        assert read_letter(letter).message.offset == offset


@pytest.mark.parametrize(
    ("destination", "place"),
    [
        ("retry.things.g", CAME_FROM),
        ("things", ("things", 0, 7, 5)),
        ("retry.others.g", ("retry.others.g", 0, 7, 5)),
    ],
)
def test_a_mark_counts_only_on_the_way_of_its_own_destination(
    destination: str, place: tuple[str, int, int, int]
) -> None:
    seen: list[Batch] = []

    def deliver(batch: Batch) -> Outcome:
        seen.append(batch)
        return Outcome(len(batch))

    record = Record(b"{}", b"k", tuple(MARK.put_on([])), timestamp_ms=5)
    replays = {"things": "retry.things.g", "others": "retry.others.g"}
    batch = ListBatch([record], 7, destination)

    assert delivers_replays(deliver, replays)(batch) == Outcome(1)
    [came] = seen
    message = came.message(0)
    assert (message.destination, message.partition, message.offset, message.timestamp_ms) == place
    assert (len(came), came.destination, came.offset(0), came.next_offset) == (1, destination, 7, 8)
