"""Whatever a handler does to its session: its effects and the position stay together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter
from streambind.inbound import handling
from streambind.inbound.handler_session import HandlerSession
from tests.integration.inbound.service import Effect, Event, Service, Thing, drain, event, keep
from tests.unit.inbound.batches import ListBatch, numbered


def things(count: int = 4) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in range(1, count + 1)])


ALL = [("k", 1), ("k", 2), ("k", 3), ("k", 4)]


def commits(event: Event, session: Session) -> None:
    keep(event, session)
    session.commit()


def commits_twice(event: Event, session: Session) -> None:
    session.commit()
    keep(event, session)
    session.commit()
    session.commit()


def flushes(event: Event, session: Session) -> None:
    keep(event, session)
    session.flush()


def begins(event: Event, session: Session) -> None:
    with session.begin():
        keep(event, session)


def begins_nested(event: Event, session: Session) -> None:
    with session.begin_nested():
        keep(event, session)


def leaves_nested_open(event: Event, session: Session) -> None:
    session.begin_nested()
    keep(event, session)


def rolls_back_then_works(event: Event, session: Session) -> None:
    session.add(Effect(key="undone", number=event.number))
    session.flush()
    session.rollback()
    keep(event, session)


def commits_then_rolls_back(event: Event, session: Session) -> None:
    keep(event, session)
    session.commit()
    session.add(Effect(key="undone", number=event.number))
    session.rollback()


def commits_then_closes(event: Event, session: Session) -> None:
    with session:
        keep(event, session)
        session.commit()


def closes_then_works(event: Event, session: Session) -> None:
    session.add(Effect(key="undone", number=event.number))
    session.flush()
    session.close()
    keep(event, session)


def expects_a_duplicate(event: Event, session: Session) -> None:
    """The idiom for "insert unless it is there"."""
    try:
        with session.begin_nested():
            session.add(Thing(id=1, name="one"))
    except IntegrityError:
        pass
    keep(event, session)


def expects_a_duplicate_and_rolls_back(event: Event, session: Session) -> None:
    session.add(Thing(id=1, name="one"))
    try:
        session.flush()
    except IntegrityError:
        session.rollback()
    keep(event, session)


WELL = [
    commits,
    commits_twice,
    flushes,
    begins,
    begins_nested,
    leaves_nested_open,
    rolls_back_then_works,
    commits_then_rolls_back,
    commits_then_closes,
    closes_then_works,
    expects_a_duplicate,
    expects_a_duplicate_and_rolls_back,
]


@pytest.mark.parametrize("handler", WELL)
def test_it_may_end_its_transaction_as_it_likes(
    any_service: Service, handler: Callable[[Event, Session], None]
) -> None:
    plan = any_service.keeping(handler)

    assert plan.deliver(things()) == Outcome(4, Continue())

    assert any_service.effects() == ALL
    assert any_service.position() == 4
    assert plan.statistics.figures().retried == 0
    assert plan.deliver(ListBatch(things(5).records[4:], start=4)) == Outcome(1, Continue())
    assert any_service.effects() == [*ALL, ("k", 5)]


@pytest.mark.parametrize("handler", WELL)
def test_what_it_committed_is_undone_if_it_raises_after_all(
    any_service: Service, handler: Callable[[Event, Session], None]
) -> None:
    """Otherwise the next try would make the effects of the first one twice."""
    failures = [ValueError("not yet"), ValueError("not yet")]

    def raises_at_three(event: Event, session: Session) -> None:
        handler(event, session)
        if event.number == 3 and failures:
            raise failures.pop()

    plan = any_service.keeping(raises_at_three)

    first = plan.deliver(things())

    assert first.done == 2
    assert isinstance(first.then, RetryAfter)
    assert any_service.effects() == ALL[:2]
    assert any_service.position() == 2
    drain(plan, ListBatch(things().records[2:], start=2))
    assert any_service.effects() == ALL
    assert any_service.position() == 4


@pytest.mark.parametrize("handler", [commits, flushes, begins_nested, expects_a_duplicate])
def test_ordinary_handlers_run_once_per_message(
    any_service: Service, handler: Callable[[Event, Session], None]
) -> None:
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        handler(event, session)

    any_service.keeping(counted).deliver(things())

    assert calls == [1, 2, 3, 4]


def test_handlers_that_roll_back_run_twice_for_one_batch_only(any_service: Service) -> None:
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        rolls_back_then_works(event, session)

    plan = any_service.keeping(counted)
    plan.deliver(things(2))
    assert calls == [1, 1, 2]
    calls.clear()

    plan.deliver(ListBatch(things(4).records[2:], start=2))

    assert calls == [3, 4]


def test_a_handler_sees_what_the_one_before_it_left(any_service: Service) -> None:
    """Also through statements that do not flush by themselves, as after a commit of its own."""
    seen: list[int] = []

    def looks(event: Event, session: Session) -> None:
        seen.append(len(session.connection().execute(select(Effect.id)).all()))
        keep(event, session)

    any_service.keeping(looks).deliver(things())

    assert seen == [0, 1, 2, 3]


async def commits_async(event: Event, session: AsyncSession) -> None:
    session.add(Effect(key=event.key, number=event.number))
    await session.commit()


async def rolls_back_async(event: Event, session: AsyncSession) -> None:
    session.add(Effect(key="undone", number=event.number))
    await session.flush()
    await session.rollback()
    session.add(Effect(key=event.key, number=event.number))


async def closes_async(event: Event, session: AsyncSession) -> None:
    async with session:
        session.add(Effect(key=event.key, number=event.number))
        await session.commit()


async def begins_async(event: Event, session: AsyncSession) -> None:
    async with session.begin():
        session.add(Effect(key=event.key, number=event.number))


async def begins_nested_async(event: Event, session: AsyncSession) -> None:
    async with session.begin_nested():
        session.add(Effect(key=event.key, number=event.number))
    connection = await session.connection()
    await connection.execute(select(Effect.id))


@pytest.mark.parametrize(
    "handler", [commits_async, rolls_back_async, closes_async, begins_async, begins_nested_async]
)
def test_an_async_handler_may_too(async_service: Service, handler: Callable[..., object]) -> None:
    failures = [ValueError("not yet")]

    async def raises_at_three(event: Event, session: AsyncSession) -> None:
        await handler(event, session)  # type: ignore[misc]
        if event.number == 3 and failures:
            raise failures.pop()

    plan = async_service.plan(raises_at_three)

    assert plan.deliver(things()).done == 2
    assert async_service.effects() == ALL[:2]
    drain(plan, ListBatch(things().records[2:], start=2))
    assert async_service.effects() == ALL
    assert async_service.position() == 4


def test_the_commit_of_the_sessions_hooks_comes_before_the_real_one(any_service: Service) -> None:
    """`on_commit` is what may be relied upon."""
    plan = any_service.keeping(commits)

    plan.deliver(things())

    assert any_service.commits == 1


def test_savepoints_come_for_a_while_after_a_handler_that_needs_them(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []

    class Watched(HandlerSession):
        def __init__(self, *arguments: Any, savepoints: bool, **named: Any) -> None:
            used.append(savepoints)
            super().__init__(*arguments, savepoints=savepoints, **named)

    def rolls_back_at_one(event: Event, session: Session) -> None:
        (rolls_back_then_works if event.number == 1 else keep)(event, session)

    monkeypatch.setattr(handling, "HandlerSession", Watched)
    plan = any_service.keeping(rolls_back_at_one)
    for number in range(1, 21):
        drain(plan, ListBatch([numbered(event("k", number), "k", number)], number - 1))

    assert used == [False, True, *[True] * 16, *[False] * 3]
    assert any_service.effects() == [("k", number) for number in range(1, 21)]
