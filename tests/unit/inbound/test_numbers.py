"""The numbers of a batch, read at a glance: nothing passes that the rules would not let pass one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.errors import PermanentError
from streambind.inbound.numbers import event_of, runs_of
from streambind.inbound.sequence import Applied, Chain, follows
from tests.unit.inbound.batches import SOURCE, ListBatch, Record, numbered, record
from tests.unit.inbound.test_guard import Silent


def test_the_events_of_a_key_are_one_run_whatever_comes_in_between() -> None:
    others = [record({}, "a"), record({}, None), record({}, "a", **{"sb-origin": "1/s/1/elsewhere/9"})]
    batch = ListBatch([numbered({}, "a", 4), *others, numbered({}, "b", 1, epoch=2), numbered({}, "a", 5)])

    runs = runs_of(batch, range(6))

    assert runs is not None
    found = {chain.key: (run.epoch, run.first, run.last, run.index) for chain, run in runs.items()}
    assert found == {b"a": (1, 4, 5, 5), b"b": (2, 1, 1, 4)}


@pytest.mark.parametrize("second", [numbered({}, "a", 4), numbered({}, "a", 3), numbered({}, "a", 6)])
def test_a_key_out_of_order_is_no_run(second: Record) -> None:
    assert runs_of(ListBatch([numbered({}, "a", 4), second]), range(2)) is None


def test_another_epoch_is_no_run() -> None:
    assert runs_of(ListBatch([numbered({}, "a", 4), numbered({}, "a", 5, epoch=2)]), range(2)) is None


@pytest.mark.parametrize(
    ("last", "epoch", "seq", "follows"),
    [
        (None, 1, 1, True),
        (None, 1, 2, False),
        (None, 2, 1, False),
        ((1, 3), 1, 4, True),
        ((1, 3), 1, 5, False),
        ((1, 3), 1, 3, False),
        ((1, 3), 1, 1, False),
        ((1, 3), 2, 4, False),
        ((2, 3), 1, 4, False),
    ],
)
def test_only_what_simply_comes_next_follows_at_a_glance(
    last: tuple[int, int] | None, epoch: int, seq: int, *, follows: bool
) -> None:
    runs = runs_of(
        ListBatch([numbered({}, "a", seq, epoch=epoch), numbered({}, "a", seq + 1, epoch=epoch)]), [0, 1]
    )

    assert runs is not None
    [run] = runs.values()
    assert run.follows(None if last is None else Applied(*last, None)) is follows


def test_only_the_messages_asked_for_are_read() -> None:
    batch = ListBatch([numbered({}, "a", 4), numbered({}, "a", 9), numbered({}, "a", 5)])

    runs = runs_of(batch, [0, 2])

    assert runs is not None
    assert [run.end(batch).seq for run in runs.values()] == [5]


def test_headers_that_cannot_be_read_are_told() -> None:
    with pytest.raises(PermanentError):
        runs_of(ListBatch([Record(b"{}", b"k", unreadable=True)]), range(1))


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 2), st.integers(1, 4)), min_size=1, max_size=6),
    st.dictionaries(st.sampled_from("ab"), st.tuples(st.integers(1, 2), st.integers(1, 3))),
)
def test_what_follows_at_a_glance_follows_one_by_one(
    events: list[tuple[str, int, int]], stored: dict[str, tuple[int, int]]
) -> None:
    batch = ListBatch([numbered({}, key, seq, epoch=epoch) for key, epoch, seq in events])
    last = {Chain(SOURCE, key.encode()): Applied(*number, None) for key, number in stored.items()}

    runs = runs_of(batch, range(len(batch)))

    if runs is None or not all(run.follows(last.get(chain)) for chain, run in runs.items()):
        return
    for index in range(len(batch)):
        found = event_of(batch, index)
        assert found is not None
        chain, event = found
        assert follows(last.get(chain), event, Silent())
        last[chain] = event
    assert {chain: run.end(batch) for chain, run in runs.items()} == {chain: last[chain] for chain in runs}
