"""The guard's rules, without a database."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.errors import SequenceForkError, SequenceGapError
from streambind.inbound.guard import Applied, Chain, event_of, follows
from tests.unit.inbound.batches import SOURCE, ListBatch, Record, numbered, record

A, B = uuid.UUID(int=1), uuid.UUID(int=2)


def verdict(last: tuple[int, int, uuid.UUID | None] | None, event: tuple[int, int, uuid.UUID | None]) -> str:
    known = None if last is None else Applied(*last)
    try:
        return "apply" if follows(known, Applied(*event), may_begin_within=lambda: False) else "duplicate"
    except SequenceGapError:
        return "gap"
    except SequenceForkError:
        return "fork"


@pytest.mark.parametrize(
    ("last", "event", "expected"),
    [
        (None, (1, 1, A), "apply"),
        (None, (3, 1, A), "apply"),
        (None, (1, 2, A), "gap"),
        ((1, 5, A), (1, 6, B), "apply"),
        ((1, 5, A), (1, 7, B), "gap"),
        ((1, 5, A), (1, 5, A), "duplicate"),
        ((1, 5, A), (1, 5, B), "fork"),
        ((1, 5, None), (1, 5, B), "duplicate"),
        ((1, 5, A), (1, 5, None), "duplicate"),
        ((1, 5, A), (1, 4, B), "duplicate"),
        ((1, 5, A), (1, 1, B), "duplicate"),
        # A restore took the source back to number 2; its epoch was raised.
        ((1, 5, A), (2, 3, B), "apply"),
        ((1, 5, A), (2, 5, B), "apply"),
        ((1, 5, A), (2, 6, B), "apply"),
        ((1, 5, A), (2, 1, B), "apply"),
        ((1, 5, A), (2, 7, B), "gap"),
        # Nobody leaves an epoch out.
        ((1, 5, A), (3, 6, B), "fork"),
        ((1, 1, A), (2**31 - 1, 1, B), "fork"),
        ((2, 3, A), (2, 3, A), "duplicate"),
        ((2, 3, A), (2, 4, B), "apply"),
        # What the undone history still sends.
        ((2, 3, A), (1, 4, B), "duplicate"),
        ((2, 3, A), (1, 9, B), "duplicate"),
    ],
)
def test_the_verdict(
    last: tuple[int, int, uuid.UUID | None] | None, event: tuple[int, int, uuid.UUID | None], expected: str
) -> None:
    assert verdict(last, event) == expected


def test_a_group_that_began_within_the_log_takes_any_first_number() -> None:
    assert follows(None, Applied(1, 17, A), may_begin_within=lambda: True)


def test_where_the_group_began_is_asked_only_if_it_matters() -> None:
    def asked() -> bool:
        raise AssertionError("number 1 is the first, wherever the group began")

    assert follows(None, Applied(1, 1, A), may_begin_within=asked)
    assert not follows(Applied(1, 3, A), Applied(1, 2, B), may_begin_within=asked)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_what_two_senders_of_one_history_write_is_applied_once_and_in_order(rewinds: list[int]) -> None:
    """A sender writes contiguous runs and may begin again anywhere below where it stood: never a gap."""
    last: Applied | None = None
    applied: list[int] = []
    sent = 0
    for rewind in rewinds:
        start = max(1, sent + 1 - rewind)
        for seq in range(start, sent + 2):
            event = Applied(1, seq, uuid.UUID(int=seq))
            if follows(last, event, may_begin_within=lambda: False):
                applied.append(seq)
                last = event
        sent += 1
    assert applied == list(range(1, sent + 1))


@given(st.permutations(list(range(1, 6))))
def test_a_history_out_of_order_is_never_applied_out_of_order(order: list[int]) -> None:
    last: Applied | None = None
    for seq in order:
        event = Applied(1, seq, uuid.UUID(int=seq))
        try:
            if follows(last, event, may_begin_within=lambda: False):
                assert event.seq == (last.seq if last else 0) + 1
                last = event
        except SequenceGapError:
            assert seq > (last.seq if last else 0) + 1
            return
    assert order == sorted(order)


def _only(rec: Record) -> object:
    return event_of(ListBatch([rec]), 0)


def test_the_number_and_the_event_id_are_read_from_the_headers() -> None:
    identity = uuid.uuid4()

    assert _only(numbered({}, "k", 7, epoch=2, event_id=identity)) == (
        Chain(SOURCE, b"k"),
        Applied(2, 7, identity),
    )


@pytest.mark.parametrize(
    "rec",
    [
        record({}, "k"),
        record({}, "k", **{"sb-origin": "1/s/1/elsewhere/1"}),
        record({}, None, **{"sb-origin": "1/s/1/things/1"}),
        record({}, "k", **{"sb-origin": "2/s/1/things/1"}),
        record({}, "k", **{"sb-origin": "1/s/1/things/0"}),
        record({}, "k", **{"sb-origin": "1/s/1/things/-1"}),
        record({}, "k", **{"sb-origin": "1/s/99999999999/things/1"}),
        record({}, "k", **{"sb-origin": f"1/{'s' * 37}/1/things/1"}),
        record({}, "k", **{"sb-origin": "1/s\x00/1/things/1"}),
        record({}, "k" * 513, **{"sb-origin": "1/s/1/things/1"}),
        Record(b"{}", b"k", [("sb-origin", "1/\u00fc/1/things/1".encode())]),
        record({}, "k", **{"sb-origin": "1/s/1/things/9999999999999999999"}),
        Record(b"{}", b"k", [("sb-origin", b"\xff")]),
        Record(b"{}", b"k", [("sb-origin", None)]),
        Record(b"{}", b"k", [("sb-origin", b"")]),
    ],
)
def test_what_is_no_number_of_this_destination_does_not_count(rec: Record) -> None:
    assert _only(rec) is None


def test_the_longest_key_that_the_table_keeps_counts() -> None:
    assert _only(record({}, "k" * 512, **{"sb-origin": "1/s/1/things/1"})) is not None


def test_an_event_id_that_is_none_is_none() -> None:
    found = _only(record({}, "k", **{"sb-origin": "1/s/1/things/1", "sb-event-id": "x"}))

    assert found == (Chain("s", b"k"), Applied(1, 1, None))


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_bytes_in_the_headers_are_survived(origin: bytes, identity: bytes) -> None:
    event_of(ListBatch([Record(b"", b"k", [("sb-origin", origin), ("sb-event-id", identity)])]), 0)
