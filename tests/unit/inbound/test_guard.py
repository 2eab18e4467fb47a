"""The guard's rules, without a database."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.errors import SequenceForkError, SequenceGapError
from streambind.inbound.numbers import event_of
from streambind.inbound.sequence import Applied, Chain, follows
from tests.unit.inbound.batches import SOURCE, ListBatch, Record, numbered, record


@dataclass
class Before:
    """What the guard knows beside the last event."""

    began_within: bool = False
    leaves_out: bool = False
    moved: bool = False
    epoch: int = 0

    def may_begin_within(self) -> bool:
        return self.began_within

    def may_leave_out(self) -> bool:
        return self.leaves_out or self.moved

    def was_moved(self) -> bool:
        return self.moved

    def latest_epoch(self, enough: int) -> int:
        return self.epoch


class Silent(Before):
    """What is asked here does not matter."""

    def may_begin_within(self) -> bool:
        raise AssertionError("number 1 is the first, wherever the group began")

    may_leave_out = was_moved = may_begin_within


A, B = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def verdict(last: tuple[int, int, str | None] | None, event: tuple[int, int, str | None]) -> str:
    known = None if last is None else Applied(*last)
    try:
        return "apply" if follows(known, Applied(*event), Before()) else "duplicate"
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
    last: tuple[int, int, str | None] | None, event: tuple[int, int, str | None], expected: str
) -> None:
    assert verdict(last, event) == expected


def test_a_group_that_began_within_the_log_takes_any_first_number() -> None:
    assert follows(None, Applied(1, 17, A), Before(began_within=True))


def test_where_the_group_began_is_asked_only_if_it_matters() -> None:
    assert follows(None, Applied(1, 1, A), Silent())
    assert follows(Applied(1, 3, A), Applied(1, 4, B), Silent())
    assert not follows(Applied(1, 3, A), Applied(1, 2, B), Silent())


def test_numbers_that_the_group_was_moved_past_are_not_missed() -> None:
    assert follows(Applied(1, 3, A), Applied(1, 17, B), Before(leaves_out=True))
    assert not follows(Applied(1, 3, A), Applied(1, 3, A), Before(leaves_out=True))
    with pytest.raises(SequenceForkError):
        follows(Applied(1, 3, A), Applied(1, 3, B), Before(leaves_out=True))


def test_a_key_may_have_missed_an_epoch_that_its_source_had() -> None:
    assert follows(Applied(1, 5, A), Applied(3, 6, B), Before(epoch=2))
    assert follows(Applied(1, 5, A), Applied(3, 2, B), Before(epoch=3))
    with pytest.raises(SequenceForkError, match="epoch 4 of its source came, the last one known is 2"):
        follows(Applied(1, 5, A), Applied(4, 6, B), Before(epoch=2))
    with pytest.raises(SequenceGapError):
        follows(Applied(1, 5, A), Applied(3, 7, B), Before(epoch=2))


def test_epochs_that_the_group_was_moved_past_are_not_missed() -> None:
    assert follows(Applied(1, 3, A), Applied(4, 17, B), Before(epoch=1, moved=True))
    assert follows(None, Applied(4, 1, A), Before(epoch=1, moved=True))


@pytest.mark.parametrize("last", [Applied(1, 3, A), None])
def test_a_log_that_leaves_numbers_out_leaves_out_no_epoch(last: Applied | None) -> None:
    compacted = Before(epoch=1, began_within=True, leaves_out=True)
    assert follows(last, Applied(2, 17, B), compacted)
    with pytest.raises(SequenceForkError, match="epoch 3 of its source came, the last one known is 1"):
        follows(last, Applied(3, 17, B), compacted)


def test_the_first_event_of_a_key_is_of_an_epoch_that_its_source_may_have() -> None:
    assert follows(None, Applied(3, 1, A), Before(epoch=2))
    assert follows(None, Applied(2, 1, A), Before(epoch=3))
    for began_within in (False, True):
        with pytest.raises(SequenceForkError, match="epoch 4 of its source came, the last one known is 2"):
            follows(None, Applied(4, 1, A), Before(epoch=2, began_within=began_within))


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.integers(3, 2**31 - 1), st.integers(1, 9)), max_size=40
    )
)
def test_epochs_that_anyone_made_up_have_no_event_of_the_source_passed_over(
    records: list[tuple[str, int | None, int]],
) -> None:
    """The source is in epoch 1; `None` is its next event of a key, everything else a forgery."""
    applied: dict[str, Applied] = {"z": Applied(1, 1, A)}
    for key, epoch, seq in records:
        last = applied.get(key)
        before = Before(began_within=True, epoch=max(event.epoch for event in applied.values()))
        if epoch is None:
            genuine = Applied(1, 1 if last is None else last.seq + 1, B)
            assert follows(last, genuine, before)
            applied[key] = genuine
        else:
            with pytest.raises(SequenceForkError):
                follows(last, Applied(epoch, seq, A), before)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_what_two_senders_of_one_history_write_is_applied_once_and_in_order(rewinds: list[int]) -> None:
    """A sender writes contiguous runs and may begin again anywhere below where it stood: never a gap."""
    last: Applied | None = None
    applied: list[int] = []
    sent = 0
    for rewind in rewinds:
        start = max(1, sent + 1 - rewind)
        for seq in range(start, sent + 2):
            event = Applied(1, seq, str(uuid.UUID(int=seq)))
            if follows(last, event, Before()):
                applied.append(seq)
                last = event
        sent += 1
    assert applied == list(range(1, sent + 1))


@given(st.permutations(list(range(1, 6))))
def test_a_history_out_of_order_is_never_applied_out_of_order(order: list[int]) -> None:
    last: Applied | None = None
    for seq in order:
        event = Applied(1, seq, str(uuid.UUID(int=seq)))
        try:
            if follows(last, event, Before()):
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
        Applied(2, 7, str(identity)),
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


@pytest.mark.parametrize("form", ["{}", "{{{}}}", "urn:uuid:{}"])
def test_an_event_id_is_the_same_however_it_is_written(form: str) -> None:
    identity = uuid.uuid4()
    for text in (str(identity), str(identity).upper(), identity.hex):
        found = _only(record({}, "k", **{"sb-origin": "1/s/1/things/1", "sb-event-id": form.format(text)}))
        assert found == (Chain("s", b"k"), Applied(1, 1, str(identity)))


def test_an_event_id_that_is_none_is_none() -> None:
    found = _only(record({}, "k", **{"sb-origin": "1/s/1/things/1", "sb-event-id": "x"}))

    assert found == (Chain("s", b"k"), Applied(1, 1, None))


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_bytes_in_the_headers_are_survived(origin: bytes, identity: bytes) -> None:
    event_of(ListBatch([Record(b"", b"k", [("sb-origin", origin), ("sb-event-id", identity)])]), 0)
