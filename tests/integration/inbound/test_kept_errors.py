"""Errors that a handler keeps to itself, or leaves behind: none of them lets effects and position part."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter, Stop
from tests.integration.inbound.service import Event, Service, Thing, event, keep
from tests.unit.inbound.batches import ListBatch, numbered


def things(count: int = 4) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in range(1, count + 1)])


ALL = [("k", 1), ("k", 2), ("k", 3), ("k", 4)]


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
    any_service: Service, position_of_the_error: str
) -> None:
    """PostgreSQL would answer the COMMIT of such a transaction with a silent ROLLBACK."""
    any_service.insert(Thing, id=1, name="taken")
    plan = any_service.keeping(swallows_a_flush_error, max_attempts=1)
    batch = things(4 if position_of_the_error == "within" else 3)

    outcome = plan.deliver(batch)

    assert outcome.done == 2
    assert isinstance(outcome.then, Stop)
    assert "a database error that it caught had ended its transaction" in str(outcome.then.error)
    assert "with session.begin_nested():" in str(outcome.then.error)
    assert any_service.effects() == ALL[:2]
    assert any_service.position() == 2


@pytest.mark.parametrize("count", [3, 4])
def test_a_statements_error_that_it_keeps_to_itself(any_service: Service, count: int) -> None:
    """SQLite and MySQL undo the statement alone, so that nothing is wrong; PostgreSQL the transaction."""
    any_service.insert(Thing, id=1, name="taken")
    plan = any_service.keeping(swallows_a_statement_error, max_attempts=1)

    outcome = plan.deliver(things(count))

    if any_service.database.dialect.name != "postgresql":
        assert outcome == Outcome(count, Continue())
        assert any_service.effects() == ALL[:count]
    else:
        assert outcome.done == 2
        assert isinstance(outcome.then, Stop)
        assert "a database error that it caught had ended its transaction" in str(outcome.then.error)
        assert any_service.effects() == ALL[:2]
    assert any_service.position() == outcome.done


def test_what_it_leaves_to_be_flushed_fails_with_its_message(any_service: Service) -> None:
    def leaves(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 3:
            session.add(Thing(id=2, name="taken"))

    any_service.insert(Thing, id=1, name="taken")
    calls: list[int] = []
    together = [1, 2, 3, 4]  # What they leave is written at the end; then each by itself, to see whose it was.

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        leaves(event, session)

    plan = any_service.keeping(counted)

    outcome = plan.deliver(things())

    assert outcome.done == 2
    assert isinstance(outcome.then, Stop)
    assert "IntegrityError" in str(outcome.then.error)
    assert any_service.effects() == ALL[:2]
    assert calls == [*together, *[1, 2, 3], *[1, 2]]


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
