"""A batch whose handlers take long is committed in parts: `consumer.commit-after`."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from streambind.binding.outcome import Apart, Outcome, RetryAfter
from streambind.inbound import handling
from streambind.joint_batch import JointBatch
from tests.integration.inbound.parking import Poison, of_key, parked_keys, parked_offsets, parking, turns
from tests.integration.inbound.service import Event, Service, drain, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered, record

STEP_S = 0.4
"""By the clock of these tests a message takes so long: at 1 s, the third one is the last of its transaction."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[Event, Session], None]:
    """The ordinary handler, taking its time."""
    clock = Clock()
    monkeypatch.setattr(handling, "time", clock)

    def keep_slowly(event: Event, session: Session) -> None:
        keep(event, session)
        clock.now_s += STEP_S

    return keep_slowly


Slow = Callable[[Event, Session], None]


def _things(*numbers: int, start: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start)


def _steps(outcomes: list[Outcome]) -> list[int]:
    return [outcome.done for outcome in outcomes]


def test_what_is_handled_is_committed_and_the_rest_goes_on(service: Service, slow: Slow) -> None:
    plan = service.keeping(slow, commit_after_ms=1000)
    batch = _things(*range(1, 9))

    first = plan.deliver(batch)

    assert first.done == 3
    assert service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert service.position() == 3
    assert service.guarded() == {b"k": (1, 3)}
    rest = batch.after(first.done)
    assert rest is not None
    assert _steps(drain(plan, rest)) == [3, 2]
    assert service.effects() == [("k", n) for n in range(1, 9)]
    assert service.position() == 8
    assert service.commits == 3
    assert plan.statistics.figures().handled == 8


def test_the_time_is_configurable(any_service: Service, slow: Slow) -> None:
    assert _steps(drain(any_service.keeping(slow, commit_after_ms=100), _things(1, 2, 3))) == [1, 1, 1]
    assert _steps(drain(any_service.keeping(slow, commit_after_ms=60_000), _things(4, 5, 6, 7, start=3))) == [4]


def test_a_batch_is_whole_for_a_listener_that_takes_many(any_service: Service, slow: Slow) -> None:
    plan = any_service.keeping(slow, many=True, commit_after_ms=1000)
    assert _steps(drain(plan, _things(*range(1, 9)))) == [8]


def test_duplicates_count_once_wherever_the_batch_is_cut(any_service: Service, slow: Slow) -> None:
    plan = any_service.keeping(slow, commit_after_ms=1000)
    drain(plan, _things(1, 2, 1, 2, 3, 4, 5, 4, 5, 6))
    assert any_service.effects() == [("k", n) for n in range(1, 7)]
    assert any_service.position() == 10
    assert plan.statistics.figures().duplicates == 4


def test_ids_of_messages_behind_the_cut_are_not_kept(any_service: Service, slow: Slow) -> None:
    ids = [b"a", b"b", b"a", b"c", b"d", b"b", b"e", b"d", b"f"]
    plain = record(event("k", 0), "k")
    records = [Record(record(event("k", n), "k").payload, plain.key, [("id", each)]) for n, each in enumerate(ids)]
    plan = any_service.keeping(slow, commit_after_ms=1000, dedupe="headers['id']")
    drain(plan, ListBatch(records))
    assert [number for _, number in any_service.effects()] == [0, 1, 3, 4, 6, 8]
    assert plan.statistics.figures().duplicates == 3


def test_messages_of_parked_keys_behind_the_cut_are_set_aside_once(any_service: Service, slow: Slow) -> None:
    poison = Poison(("p", 1))

    def either(event: Event, session: Session) -> None:
        (poison if event.key == "p" else slow)(event, session)

    plan = parking(any_service, either)
    drain(plan, ListBatch(of_key("p", 1)))
    pairs = zip(of_key("a", *range(1, 8)), of_key("p", *range(2, 9)), strict=True)
    drain(plan, ListBatch([each for pair in pairs for each in pair], 1))

    assert any_service.position() == 15
    assert parked_keys(any_service) == {b"p": ("retry", 0, 8)}
    assert parked_offsets(any_service) == [(0, offset) for offset in (0, *range(2, 15, 2))]
    assert plan.statistics.figures().parked == 8
    poison.fix()
    turns(plan)
    assert [each for each in any_service.effects() if each[0] == "p"] == [("p", n) for n in range(1, 9)]
    assert [each for each in any_service.effects() if each[0] == "a"] == [("a", n) for n in range(1, 8)]


def test_a_message_that_fails_behind_the_cut_is_not_yet_to_blame(any_service: Service, slow: Slow) -> None:
    failures = [ValueError("not yet")]

    def fails_at_five(event: Event, session: Session) -> None:
        slow(event, session)
        if event.number == 5 and failures:
            raise failures.pop()

    plan = any_service.keeping(fails_at_five, commit_after_ms=1000)
    outcomes = drain(plan, _things(*range(1, 9)))
    assert _steps(outcomes) == [3, 1, 1, 3]
    assert [isinstance(outcome.then, RetryAfter) for outcome in outcomes] == [False, True, False, False]
    assert any_service.effects() == [("k", n) for n in range(1, 9)]


def test_several_partitions_are_not_handled_together_when_that_takes_long(
    any_service: Service, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "streambind")
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        slow(event, session)

    plan = any_service.keeping(counted, commit_after_ms=1000)
    one, other = _things(1, 2), ListBatch([numbered(event("l", n), "l", n - 2) for n in (3, 4)], partition=1)

    assert plan.deliver(JointBatch([one, other])) == Outcome(0, Apart())
    assert any("each by itself" in each and "TooLong" in each for each in caplog.messages)
    assert any_service.effects() == []
    assert (any_service.position(0), any_service.position(1)) == (0, 0)
    assert plan.deliver(JointBatch([one, other])) == Outcome(0, Apart())
    assert calls == [1, 2, 3]
    assert plan.deliver(one) == plan.deliver(other) == Outcome(2)
