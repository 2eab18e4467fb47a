"""Random sessions beside one another: whoever has looked at what and when, at each commit each key's last event is
its row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from streambind.outbound.publish import suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import Seat

PLACES = [("a", 1), ("a", 2)]
COLUMNS = ("guest", "state", "notes")

one = st.integers(0, 2)
"""A session."""
row = st.integers(0, 1)
column = st.sampled_from(COLUMNS)
value = st.sampled_from(["x", "y", "z"])

operations = st.one_of(
    st.tuples(st.just("look"), one, row),
    *[st.tuples(st.just("change"), one, row, column, value)] * 4,
    st.tuples(st.just("all"), one, row, value),
    st.tuples(st.just("statement"), one, row, column, value, st.booleans()),
    st.tuples(st.sampled_from(["flush", "expire", "savepoint", "undo"]), one),
    *[st.tuples(st.just("commit"), one)] * 3,
    st.tuples(st.just("rollback"), one),
)


class Play:
    """Three sessions that keep what they have read. One at a time has written rows; where the database can be used
    by one only, the others commit before it begins."""

    def __init__(self, service: Service, sessions: list[Session]) -> None:
        self.service = service
        self.sessions = sessions
        self.writing: Session | None = None
        self.seen: dict[tuple[Session, int], Seat] = {}
        for session in sessions:
            session.expire_on_commit = False
            session.autoflush = False

    def do(self, operation: tuple[Any, ...]) -> None:
        name, number, *arguments = operation
        getattr(self, f"do_{name}")(self.sessions[number], *arguments)

    def turn(self, session: Session, *, writes: bool) -> None:
        alone = self.service.dialect == "sqlite"
        for other in self.sessions:
            if other is not session and ((alone and other.in_transaction()) or (writes and other is self.writing)):
                self.do_commit(other)
        if writes:
            self.writing = session

    def do_look(self, session: Session, number: int) -> None:
        self.turn(session, writes=False)
        seat = session.get_one(Seat, PLACES[number])
        assert all(hasattr(seat, each) for each in COLUMNS)
        self.seen[session, number] = seat

    def do_change(self, session: Session, number: int, name: str, text: str) -> None:
        seat = self.seen.get((session, number))
        if seat is not None:
            self.turn(session, writes=False)  # It may have to look first.
            setattr(seat, name, text)

    def do_all(self, session: Session, number: int, text: str) -> None:
        """Everything that an event tells."""
        for name in COLUMNS:
            self.do_change(session, number, name, text)

    def do_statement(self, session: Session, number: int, name: str, text: str, synchronizes: bool) -> None:
        self.turn(session, writes=True)
        session.flush()
        room, seat = PLACES[number]
        statement = update(Seat).where(Seat.room == room, Seat.number == seat).values({name: text})
        how: Any = "auto" if synchronizes else False
        session.execute(statement.execution_options(synchronize_session=how))

    def do_flush(self, session: Session) -> None:
        if session.dirty:
            self.turn(session, writes=True)
            session.flush()

    def do_expire(self, session: Session) -> None:
        self.do_flush(session)
        session.expire_all()

    def do_savepoint(self, session: Session) -> None:
        self.do_flush(session)
        self.turn(session, writes=False)
        session.begin_nested()

    def do_undo(self, session: Session) -> None:
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            savepoint.rollback()

    def do_commit(self, session: Session) -> None:
        self.do_flush(session)
        while (savepoint := session.get_nested_transaction()) is not None:
            savepoint.commit()
        session.commit()
        self._ended(session)

    def do_rollback(self, session: Session) -> None:
        session.rollback()
        self._ended(session)

    def _ended(self, session: Session) -> None:
        if self.writing is session:
            self.writing = None
            _check(self.service)


def _fill(service: Service) -> None:
    def work(session: Session) -> None:
        with suppress_events(session):
            session.execute(delete(Seat))
            session.execute(delete(service.database.tables.outbox))
            session.execute(delete(service.database.tables.key))
        for room, number in PLACES:
            session.add(Seat(room=room, number=number, guest="x", state="x", notes="x"))
        session.commit()

    service.do(work)


def _run(service: Service, script: list[tuple[Any, ...]]) -> None:
    _fill(service)

    def work(*sessions: Session) -> None:
        play = Play(service, list(sessions))
        for session in sessions:
            play.do_look(session, 0)
            play.do_look(session, 1)
        for operation in script:
            play.do(operation)
        for session in sessions:
            play.do_commit(session)

    service.do(lambda a: service.do(lambda b: service.do(lambda c: work(a, b, c))))


def _check(service: Service) -> None:
    stored = service.connected(lambda c: c.execute(select(Seat.room, Seat.number, *map(_of_seat, COLUMNS))).all())
    rows = {(room, number): values for room, number, *values in stored}
    for destination in ("seatChanged", "roomChanged"):
        told = [e.json for e in service.events if e.destination == destination]
        assert {(e["room"], e["number"]): [e[name] for name in COLUMNS] for e in told} == rows


def _of_seat(name: str) -> Any:
    return getattr(Seat, name)


_ANY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("any_service", ["sqlite"], indirect=True)
@settings(max_examples=150, suppress_health_check=_ANY, database=None)
@given(script=st.lists(operations, min_size=10, max_size=40))
def test_the_last_event_of_each_key_is_its_row(service: Service, script: list[tuple[Any, ...]]) -> None:
    _run(service, script)


@settings(max_examples=15, suppress_health_check=_ANY, database=None)
@given(script=st.lists(operations, min_size=10, max_size=40))
def test_the_last_event_of_each_key_is_its_row_on_every_engine(
    service: Service, script: list[tuple[Any, ...]]
) -> None:
    _run(service, script)
