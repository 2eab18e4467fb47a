"""Messages that fail, with their effects in a database."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, Stop
from streambind.errors import PermanentError, SequenceForkError, SequenceGapError
from streambind.inbound.listener import send_to, stream_listener
from tests.integration.inbound.service import (
    Effect,
    Event,
    Letters,
    Outbox,
    Service,
    Thing,
    drain,
    event,
    keep,
)
from tests.unit.inbound.batches import ListBatch, numbered, record


def things(*numbers: int, start: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start)


def fails_at(number: int, error: Exception, times: int = 1_000) -> Any:
    left = [times]

    def handle(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == number and left[0] > 0:
            left[0] -= 1
            raise error

    return handle


def _kinds(outcomes: list[Outcome]) -> list[tuple[int, str]]:
    return [(outcome.done, type(outcome.then).__name__) for outcome in outcomes]


def test_a_message_that_recovers_within_its_tries_is_applied_once(any_service: Service) -> None:
    plan = any_service.keeping(fails_at(2, ValueError("not yet"), times=2))

    outcomes = drain(plan, things(1, 2, 3))

    assert _kinds(outcomes) == [(1, "RetryAfter"), (0, "RetryAfter"), (1, "Continue"), (1, "Continue")]
    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert plan.statistics.figures().retried == 2


def test_what_no_listener_takes_is_counted_once_however_often_it_is_rolled_back(any_service: Service) -> None:
    handle = any_service.listener(fails_at(3, ValueError("not yet"), times=2))
    plan = any_service.plan(stream_listener("in-things", condition="payload.number == 3")(handle))

    drain(plan, things(1, 2, 3, 4))

    assert any_service.effects() == [("k", 3)]
    assert plan.statistics.figures().retried == 2
    assert plan.statistics.figures().unmatched == 3


def test_a_dead_letter_takes_its_messages_place_and_its_number(any_service: Service) -> None:
    letters = Letters()
    plan = any_service.keeping(fails_at(2, ValueError("poison")), letters=letters)

    outcomes = drain(plan, things(1, 2, 3))

    assert _kinds(outcomes) == [(1, "RetryAfter"), (0, "RetryAfter"), (1, "Continue"), (1, "Continue")]
    assert any_service.effects() == [("k", 1), ("k", 3)]
    assert any_service.guarded() == {b"k": (1, 3)}
    assert any_service.position() == 3
    assert [(letter.offset, letter.key) for letter in letters.sent] == [(1, b"k")]
    # The same record once more is a duplicate of the dead letter.
    assert plan.deliver(things(2, start=3)) == Outcome(1, Continue())
    assert len(letters.sent) == 1


def test_stop_keeps_what_came_before_and_nothing_after(any_service: Service) -> None:
    plan = any_service.keeping(fails_at(2, PermanentError("poison")))

    outcome = plan.deliver(things(1, 2, 3))

    assert (outcome.done, type(outcome.then)) == (1, Stop)
    assert any_service.effects() == [("k", 1)]
    assert any_service.position() == 1


def test_skip_goes_on_and_keeps_the_number(any_service: Service) -> None:
    plan = any_service.keeping(fails_at(2, PermanentError("poison")), on_error="skip")

    drain(plan, things(1, 2, 3))

    assert any_service.effects() == [("k", 1), ("k", 3)]
    assert plan.statistics.figures().skipped == 1


def test_poison_between_good_messages_is_found_without_running_them_often(any_service: Service) -> None:
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        keep(event, session)

    records = [*things(1, 2, 3).records, record(b"{no json", "x"), *things(4, 5).records]
    letters = Letters()
    plan = any_service.keeping(counted, letters=letters)

    drain(plan, ListBatch(records))

    assert any_service.effects() == [("k", n) for n in (1, 2, 3, 4, 5)]
    assert calls == [1, 2, 3, 1, 2, 3, 4, 5]
    assert [letter.payload for letter in letters.sent] == [b"{no json"]


def test_a_gap_stops_its_partition_with_a_name(any_service: Service) -> None:
    letters = Letters()
    plan = any_service.keeping(letters=letters)

    outcome = plan.deliver(things(1, 2, 4, 5))

    assert outcome.done == 2
    assert isinstance(outcome.then, Stop)
    assert isinstance(outcome.then.error, SequenceGapError)
    assert "in-things: things[0]@2 failed: SequenceGapError: number 4 of its key came after number 2" in str(
        outcome.then.error
    )
    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert any_service.position() == 2
    assert letters.sent == []


def test_a_fork_stops_its_partition_with_a_name(any_service: Service) -> None:
    plan = any_service.keeping()
    other = numbered(event("k", 2), "k", 2, event_id=uuid.uuid4())

    outcome = plan.deliver(ListBatch([*things(1, 2).records, other]))

    assert outcome.done == 2
    assert isinstance(outcome.then, Stop)
    assert isinstance(outcome.then.error, SequenceForkError)
    assert "after a restore raise its epoch" in str(outcome.then.error)


@pytest.mark.parametrize(
    ("start", "applies"),
    [((0, "earliest"), False), ((5, "earliest"), True), ((5, "committed"), True), ((0, "latest"), True)],
)
def test_a_first_number_above_one_depends_on_where_the_group_began(
    sync_service: Service, start: tuple[int, str], applies: bool
) -> None:
    plan = sync_service.keeping(adopt=start)

    outcome = plan.deliver(things(17, 18, start=start[0]))

    if applies:
        assert outcome == Outcome(2, Continue())
        assert sync_service.guarded() == {b"k": (1, 18)}
    else:
        assert isinstance(outcome.then, Stop)
        assert "number 17 is the first of its key to come, but number 1 was never applied" in str(
            outcome.then.error
        )


def test_a_restored_source_goes_on_under_a_higher_epoch(sync_service: Service) -> None:
    plan = sync_service.keeping()
    restored = [
        numbered(event("k", 102), "k", 2, epoch=2),
        numbered(event("k", 3), "k", 3, epoch=1),
        numbered(event("k", 103), "k", 3, epoch=2),
    ]

    assert plan.deliver(ListBatch([*things(1, 2, 3).records, *restored])).done == 6

    assert sync_service.effects() == [("k", n) for n in (1, 2, 3, 102, 103)]
    assert sync_service.guarded() == {b"k": (2, 3)}


def test_a_commit_that_is_refused_is_its_messages_failure(make_database: Any) -> None:
    """A deferred constraint shows at the commit, where no message is at work."""
    service = Service(make_database("postgresql+psycopg"))

    def refers(event: Event, session: Session) -> None:
        keep(event, session)
        session.add(Thing(id=event.number, name=str(event.number), owner_id=999 if event.number == 3 else None))

    letters = Letters()
    plan = service.plan(refers, letters=letters, max_attempts=1, retryable_exceptions={"Exception": False})

    drain(plan, things(*range(1, 8)))

    assert service.effects() == [("k", n) for n in (1, 2, 4, 5, 6, 7)]
    assert [letter.offset for letter in letters.sent] == [2]
    assert service.position() == 7


def keeps_batch(events: list[Event], session: Session) -> None:
    for each in events:
        session.add(Effect(key=each.key, number=each.number))
        if each.number == 3:
            raise ValueError("three")


def test_a_batch_listener_has_the_effects_of_all_or_is_done_again_one_by_one(sync_service: Service) -> None:
    letters = Letters()
    plan = sync_service.plan(keeps_batch, letters=letters, max_attempts=2)

    drain(plan, things(1, 2, 3, 4, 4, 5))

    assert sync_service.effects() == [("k", n) for n in (1, 2, 4, 5)]
    assert [letter.offset for letter in letters.sent] == [2]
    assert plan.statistics.figures().duplicates == 1


@stream_listener("in-things")
@send_to("out-x")
def answers(event: Event, session: Session) -> int | None:
    keep(event, session)
    if event.number == 3:
        raise PermanentError("no answer")
    return event.number * 10


def test_replies_share_the_transaction(sync_service: Service) -> None:
    replies = Outbox()
    plan = sync_service.plan(answers, replies=replies, on_error="skip")

    drain(plan, things(1, 2, 3, 4))

    expected = [(1, 10), (2, 20), (4, 40)]
    assert sync_service.effects() == [e for n, r in expected for e in (("k", n), ("reply to out-x", r))]
    assert replies.sent == []


def test_a_reply_that_cannot_be_written_fails_its_message(sync_service: Service) -> None:
    replies = Outbox(failures=[PermanentError("too large")])
    plan = sync_service.plan(answers, replies=replies)

    outcome = plan.deliver(things(1, 2))

    assert (outcome.done, type(outcome.then)) == (0, Stop)
    assert sync_service.effects() == []
