"""Whatever a handler does to its session: its effects and the position stay together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter, Stop
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
    service: Service, handler: Callable[[Event, Session], None]
) -> None:
    plan = service.keeping(handler)

    assert plan.deliver(things()) == Outcome(4, Continue())

    assert service.effects() == ALL
    assert service.position() == 4
    assert plan.statistics.figures().retried == 0
    assert plan.deliver(ListBatch(things(5).records[4:], start=4)) == Outcome(1, Continue())
    assert service.effects() == [*ALL, ("k", 5)]


@pytest.mark.parametrize("handler", WELL)
def test_what_it_committed_is_undone_if_it_raises_after_all(
    service: Service, handler: Callable[[Event, Session], None]
) -> None:
    """Otherwise the next try would make the effects of the first one twice."""
    failures = [ValueError("not yet"), ValueError("not yet")]

    def raises_at_three(event: Event, session: Session) -> None:
        handler(event, session)
        if event.number == 3 and failures:
            raise failures.pop()

    plan = service.keeping(raises_at_three)

    first = plan.deliver(things())

    assert first.done == 2
    assert isinstance(first.then, RetryAfter)
    assert service.effects() == ALL[:2]
    assert service.position() == 2
    drain(plan, ListBatch(things().records[2:], start=2))
    assert service.effects() == ALL
    assert service.position() == 4


@pytest.mark.parametrize("handler", [commits, flushes, begins_nested, expects_a_duplicate])
def test_ordinary_handlers_run_once_per_message(
    service: Service, handler: Callable[[Event, Session], None]
) -> None:
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        handler(event, session)

    service.keeping(counted).deliver(things())

    assert calls == [1, 2, 3, 4]


def swallows_a_flush_error(event: Event, session: Session) -> None:
    keep(event, session)
    session.flush()
    if event.number == 3:
        session.add(Thing(id=2, name="taken"))
        try:
            session.flush()
        except IntegrityError:
            return


def swallows_a_statement_error(event: Event, session: Session) -> None:
    keep(event, session)
    session.flush()
    if event.number == 3:
        try:
            session.execute(text("INSERT INTO thing (id, name) VALUES (2, 'taken')"))
        except IntegrityError:
            return


@pytest.mark.parametrize("position_of_the_error", ["within", "last"])
def test_a_database_error_that_it_keeps_to_itself_is_its_messages_failure(
    service: Service, position_of_the_error: str
) -> None:
    """PostgreSQL would answer the COMMIT of such a transaction with a silent ROLLBACK."""
    service.insert(Thing, id=1, name="taken")
    plan = service.keeping(swallows_a_flush_error, max_attempts=1)
    batch = things(4 if position_of_the_error == "within" else 3)

    outcome = plan.deliver(batch)

    assert outcome.done == 2
    assert isinstance(outcome.then, Stop)
    assert "a database error that it caught had ended its transaction" in str(outcome.then.error)
    assert "with session.begin_nested():" in str(outcome.then.error)
    assert service.effects() == ALL[:2]
    assert service.position() == 2


@pytest.mark.parametrize("count", [3, 4])
def test_a_statements_error_that_it_keeps_to_itself(service: Service, count: int) -> None:
    """SQLite undoes the statement alone, so that nothing is wrong; PostgreSQL the transaction."""
    service.insert(Thing, id=1, name="taken")
    plan = service.keeping(swallows_a_statement_error, max_attempts=1)

    outcome = plan.deliver(things(count))

    if service.database.dialect.name == "sqlite":
        assert outcome == Outcome(count, Continue())
        assert service.effects() == ALL[:count]
    else:
        assert outcome.done == 2
        assert isinstance(outcome.then, Stop)
        assert "a database error that it caught had ended its transaction" in str(outcome.then.error)
        assert service.effects() == ALL[:2]
    assert service.position() == outcome.done


def test_what_it_leaves_to_be_flushed_fails_with_its_message(service: Service) -> None:
    def leaves(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 3:
            session.add(Thing(id=2, name="taken"))

    service.insert(Thing, id=1, name="taken")
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        leaves(event, session)

    plan = service.keeping(counted)

    outcome = plan.deliver(things())

    assert outcome.done == 2
    assert isinstance(outcome.then, Stop)
    assert "IntegrityError" in str(outcome.then.error)
    assert service.effects() == ALL[:2]
    assert calls == [1, 2, 3, 1, 2]


def test_a_handler_sees_what_the_one_before_it_left(service: Service) -> None:
    """Also through statements that do not flush by themselves, as after a commit of its own."""
    seen: list[int] = []

    def looks(event: Event, session: Session) -> None:
        seen.append(len(session.connection().execute(select(Effect.id)).all()))
        keep(event, session)

    service.keeping(looks).deliver(things())

    assert seen == [0, 1, 2, 3]


def test_raw_sql_that_ends_the_transaction_is_noticed(sync_service: Service) -> None:
    def raw(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        session.connection().exec_driver_sql("ROLLBACK")

    plan = sync_service.plan(raw, max_attempts=1)

    outcome = plan.deliver(things(1))

    assert outcome.done == 0
    assert isinstance(outcome.then, Stop | RetryAfter)
    assert sync_service.effects() == []
    assert sync_service.position() == 0


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


def test_the_commit_of_the_sessions_hooks_comes_before_the_real_one(service: Service) -> None:
    """`on_commit` is what may be relied upon."""
    plan = service.keeping(commits)

    plan.deliver(things())

    assert service.commits == 1
