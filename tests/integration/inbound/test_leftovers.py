"""New objects that handlers leave are written together, and nobody can tell but by the time that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import event as events
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome
from tests.integration.inbound.service import Effect, Event, Service, Thing, drain, event, keep
from tests.unit.inbound.batches import ListBatch, numbered


def things(count: int = 4) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in range(1, count + 1)])


ALL = [("k", 1), ("k", 2), ("k", 3), ("k", 4)]


@contextmanager
def inserts(service: Service, table: str) -> Iterator[list[str]]:
    """The statements that insert into a table meanwhile."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: Any) -> None:
        if statement.startswith(f"INSERT INTO {table} "):
            seen.append(statement)

    events.listen(service.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        events.remove(service.database.engine, "before_cursor_execute", note)


def adds(event: Event, session: Session) -> None:
    session.add(Thing(id=event.number, name=f"thing {event.number}"))


def test_those_of_a_batch_are_written_together(any_service: Service) -> None:
    plan = any_service.keeping(adds)

    with inserts(any_service, "thing") as seen:
        assert plan.deliver(things()) == Outcome(4, Continue())

    assert len(seen) == 1
    assert any_service.things() == {n: f"thing {n}" for n in (1, 2, 3, 4)}


def test_what_listeners_ask_for_in_a_flush_is_part_of_it(sync_service: Service) -> None:
    """Also of those that are registered last, as capture is."""
    handled: list[int] = []

    def once(event: Event, session: Session) -> None:
        handled.append(event.number)
        adds(event, session)

    def look(session: Session, _: object) -> None:
        session.connection().execute(select(func.count()).select_from(Effect))

    plan = sync_service.keeping(once)
    events.listen(sync_service.database.sessions, "after_flush", look)
    assert plan.deliver(things()) == Outcome(4, Continue())
    assert handled == [1, 2, 3, 4]


def counts_by_hand(session: Session) -> int:
    return session.connection().execute(select(func.count()).select_from(Effect)).scalar_one()


def counts_without_autoflush(session: Session) -> int:
    with session.no_autoflush:
        return session.scalars(select(func.count()).select_from(Effect)).one()


@pytest.mark.parametrize("count", [counts_by_hand, counts_without_autoflush])
def test_a_later_handler_sees_what_earlier_ones_left(
    any_service: Service, count: Callable[[Session], int]
) -> None:
    seen: list[int] = []

    def looks(event: Event, session: Session) -> None:
        seen.append(count(session))
        keep(event, session)

    assert any_service.keeping(looks).deliver(things()) == Outcome(4, Continue())

    assert seen == [0, 1, 2, 3]


def by_core(session: Session, name: str) -> bool:
    return session.connection().scalar(select(Thing.id).where(Thing.name == name)) is not None


def without_autoflush(session: Session, name: str) -> bool:
    with session.no_autoflush:
        return session.scalars(select(Thing.id).where(Thing.name == name)).first() is not None


def and_shrugs_off_errors(session: Session, name: str) -> bool:
    with suppress(Exception):
        return by_core(session, name)
    return False


@pytest.mark.parametrize("is_taken", [by_core, without_autoflush, and_shrugs_off_errors])
def test_an_object_of_the_handler_at_work_is_not_written_before_it_asks_for_that(
    any_service: Service, is_taken: Callable[[Session, str], bool]
) -> None:
    calls: list[int] = []

    def looks_last(event: Event, session: Session) -> None:
        calls.append(event.number)
        keep(event, session)
        thing = Thing(id=event.number, name=f"thing {event.number}")
        session.add(thing)
        if is_taken(session, thing.name):
            session.delete(thing) if thing not in session.new else session.expunge(thing)

    plan = any_service.keeping(looks_last, max_attempts=1)

    assert plan.deliver(things()) == Outcome(4, Continue())
    calls.clear()
    assert plan.deliver(ListBatch(things(8).records[4:], start=4)) == Outcome(4, Continue())

    assert sorted(any_service.things()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert calls == [5, 6, 7, 8]


def test_a_change_of_the_handler_at_work_is_not_written_before_it_asks_for_that(any_service: Service) -> None:
    any_service.insert(Thing, id=99, name="taken")

    def changes_for_a_while(event: Event, session: Session) -> None:
        thing = session.get_one(Thing, 99)
        keep(event, session)
        thing.name = f"half {event.number}"
        seen.append(session.connection().scalar(select(Thing.name).where(Thing.id == 99)) or "")
        thing.name = "taken"

    seen: list[str] = []
    assert any_service.keeping(changes_for_a_while, max_attempts=1).deliver(things()) == Outcome(4, Continue())

    assert set(seen) == {"taken"}
    assert any_service.effects() == ALL


def test_a_savepoint_of_the_connection_takes_along_nothing_of_others(any_service: Service) -> None:
    def tries(event: Event, session: Session) -> None:
        with session.connection().begin_nested() as savepoint:
            session.execute(update(Thing).values(name="gone"))
            savepoint.rollback()
        keep(event, session)

    assert any_service.keeping(tries).deliver(things()) == Outcome(4, Continue())

    assert any_service.effects() == ALL


@pytest.mark.parametrize("name", ["before_insert", "after_insert"])
def test_what_listens_to_inserts_runs_under_its_own_message(any_service: Service, name: str) -> None:
    """What such a hook publishes carries the way of the message that a handler is at work on."""
    seen: list[tuple[int, int]] = []
    at_work = 0

    def note(_m: object, _c: object, effect: Effect) -> None:
        seen.append((effect.number, at_work))

    def works(event: Event, session: Session) -> None:
        nonlocal at_work
        at_work = event.number
        keep(event, session)

    events.listen(Effect, name, note)
    try:
        assert any_service.keeping(works).deliver(things()) == Outcome(4, Continue())
    finally:
        events.remove(Effect, name, note)

    assert seen == [(n, n) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("throws_away", [Session.expunge_all, Session.expire_all])
def test_a_handler_that_throws_away_what_is_in_the_session_loses_nothing_of_others(
    any_service: Service, throws_away: Callable[[Session], None]
) -> None:
    def handler(event: Event, session: Session) -> None:
        throws_away(session)
        keep(event, session)

    assert any_service.keeping(handler).deliver(things()) == Outcome(4, Continue())

    assert any_service.effects() == ALL


def test_a_change_of_a_row_does_not_wait(any_service: Service) -> None:
    """A later handler may read the row anew, and the change would be gone."""

    def changes(event: Event, session: Session) -> None:
        session.expire_all()
        thing = session.get(Thing, 1)
        if thing is None:
            session.add(Thing(id=1, name="k"))
        else:
            thing.name += str(event.number)

    assert any_service.keeping(changes).deliver(things()) == Outcome(4, Continue())

    assert any_service.things() == {1: "k234"}


def adds_a_thing(event: Event, session: Session) -> None:
    session.add(Thing(id=event.number, name="taken" if event.number == 2 else f"thing {event.number}"))


def and_keeps_errors_to_itself(event: Event, session: Session) -> None:
    try:
        session.execute(update(Effect).values(key="other"))
        adds_a_thing(event, session)
    except IntegrityError:
        pass


@pytest.mark.parametrize("handler", [adds_a_thing, and_keeps_errors_to_itself])
def test_the_message_whose_object_is_refused_is_blamed_and_no_other(
    any_service: Service, handler: Callable[[Event, Session], None]
) -> None:
    any_service.insert(Thing, id=99, name="taken")
    plan = any_service.keeping(handler, on_error="skip", max_attempts=1)

    drain(plan, things())

    assert any_service.things() == {1: "thing 1", 3: "thing 3", 4: "thing 4", 99: "taken"}
    assert plan.statistics.figures().skipped == 1


def refuse_several(session: Session, *_: object) -> None:
    """As a foreign key refuses rows of two tables whose classes know nothing of each other."""
    if len(session.new) > 1:
        raise ValueError("one after the other, please")


def adds_and_changes(event: Event, session: Session) -> None:
    if event.number == 3:
        session.scalars(select(Effect)).one().number = 100
    adds(event, session)


@pytest.mark.parametrize("handler", [adds, adds_and_changes])
def test_what_is_refused_only_together_does_not_wait_from_then_on(
    sync_service: Service, handler: Callable[[Event, Session], None]
) -> None:
    sync_service.insert(Effect, key="k", number=0)
    events.listen(sync_service.database.sessions, "before_flush", refuse_several)
    calls: list[int] = []

    def counted(event: Event, session: Session) -> None:
        calls.append(event.number)
        with session.no_autoflush:
            handler(event, session)

    plan = sync_service.keeping(counted, max_attempts=1, on_error="skip")

    assert plan.deliver(things()) == Outcome(4, Continue())
    calls.clear()
    assert plan.deliver(ListBatch(things(8).records[4:], start=4)) == Outcome(4, Continue())

    assert calls == [5, 6, 7, 8]
    assert len(sync_service.things()) == 8
    assert plan.statistics.figures().skipped == 0
