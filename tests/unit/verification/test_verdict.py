"""The verdict on one key, and sets of numbers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.verification.numbers import Numbers
from streambind.verification.verdict import Facts, Given, Guarded, State, judge

A, B = uuid.UUID(int=1), uuid.UUID(int=2)


def numbers(*values: int) -> Numbers:
    found = Numbers()
    for value in values:
        found.add(value)
    return found


def verdict(seq: int, guarded: Guarded | None, *, epoch: int = 1, **facts: Any) -> State:
    told = Given(seq, A)
    return judge(Facts(epoch, told, guarded=guarded, **{"given_after": told, "epoch_after": epoch, **facts})).state


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (verdict(3, Guarded(1, 3, A)), State.APPLIED),
        (verdict(3, Guarded(1, 3, None)), State.APPLIED),
        (verdict(3, Guarded(1, 3, B)), State.FORKED),
        (verdict(3, Guarded(1, 4, B), given_after=Given(4, B)), State.APPLIED),
        (verdict(3, Guarded(1, 4, B)), State.AHEAD),
        (verdict(3, Guarded(2, 1, B)), State.AHEAD),
        (verdict(3, Guarded(2, 4, B), epoch_after=2, given_after=Given(4, B)), State.APPLIED),
        (verdict(3, None), State.MISSING),
        (verdict(3, None, began_within=True), State.UNSEEN),
        (verdict(3, Guarded(1, 1, B), began_within=True), State.MISSING),
        (verdict(3, Guarded(1, 2, B), first_unsent=3), State.IN_OUTBOX),
        (verdict(3, Guarded(1, 2, B), first_unsent=3, is_blocked=True), State.BLOCKED),
        (verdict(3, Guarded(1, 1, B), first_unsent=3), State.MISSING),
        (verdict(3, Guarded(1, 1, B), waiting=numbers(2, 3)), State.ON_TOPIC),
        (verdict(3, Guarded(1, 1, B), waiting=numbers(3)), State.MISSING),
        (verdict(3, Guarded(1, 1, B), parked=numbers(2), waiting=numbers(3)), State.PARKED),
        (verdict(3, Guarded(1, 1, B), parked=numbers(3)), State.MISSING),
        # A compacted log has the last one.
        (verdict(3, None, waiting=numbers(3), is_compacted=True), State.ON_TOPIC),
        (verdict(3, Guarded(1, 1, B), parked=numbers(3), is_compacted=True), State.PARKED),
        (verdict(3, Guarded(1, 1, B), waiting=numbers(2), is_compacted=True), State.MISSING),
        (verdict(3, Guarded(1, 1, B), waiting=numbers(2, 9), is_compacted=True), State.MISSING),
        (verdict(3, Guarded(1, 1, B), is_compacted=True), State.MISSING),
        (verdict(3, Guarded(1, 1, B), is_compacted=True, given_after=Given(4, B)), State.ON_TOPIC),
        # The epoch was raised since the key's last event.
        (verdict(3, Guarded(1, 3, A), epoch=2), State.APPLIED),
        (verdict(3, Guarded(1, 3, None), epoch=2), State.APPLIED),
        (verdict(3, Guarded(1, 5, B), epoch=2), State.UNDONE),
        (verdict(3, Guarded(1, 3, B), epoch=2), State.UNDONE),
        (verdict(3, Guarded(1, 3, B), epoch=2, waiting_now=numbers(3)), State.ON_TOPIC),
        (verdict(3, Guarded(1, 3, B), epoch=2, waiting_now=numbers(3), parked=numbers(3)), State.PARKED),
        (verdict(3, Guarded(1, 3, B), epoch=2, waiting=numbers(3)), State.UNDONE),
        (verdict(3, Guarded(1, 5, B), epoch=2, first_unsent=3), State.IN_OUTBOX),
        (verdict(3, Guarded(1, 2, B), epoch=2), State.MISSING),
        (verdict(0, Guarded(1, 2, B)), State.AHEAD),
        (verdict(0, Guarded(1, 2, B), epoch=2), State.UNDONE),
    ],
)
def test_the_state(state: State, expected: State) -> None:
    assert state is expected


def test_what_is_missing_is_told_by_number() -> None:
    told = Given(9, A)
    facts = Facts(1, told, given_after=told, guarded=Guarded(1, 2, B), waiting=numbers(8, 9), parked=numbers(4))
    assert judge(facts) == (State.MISSING, ((3, 3), (5, 7)))


@given(st.lists(st.integers(1, 40)), st.integers(1, 40), st.integers(0, 41))
def test_numbers_are_a_set(values: list[int], low: int, high: int) -> None:
    kept = numbers(*values)
    assert [n for n in range(45) if n in kept] == sorted(set(values))
    missing = [n for start, end in kept.missing(low, high) for n in range(start, end + 1)]
    assert missing == [n for n in range(low, high + 1) if n not in values]
    assert kept.highest(high) == max((n for n in values if n <= high), default=0)
    joined = numbers(low)
    joined.join(kept)
    assert [n for n in range(45) if n in joined] == sorted({*values, low})


def test_consecutive_numbers_take_one_range() -> None:
    kept = numbers(*range(1, 1000, 2), *range(2, 1000, 2))
    assert (kept._starts, kept._ends) == ([1], [999])
