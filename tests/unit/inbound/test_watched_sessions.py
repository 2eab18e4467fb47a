"""The sessions that handlers get, and who is told of their events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from streambind.event_loop import EventLoop
from streambind.inbound.handler_session import session_of
from streambind.inbound.watched_sessions import WatchedSessions, unwatch, watch
from streambind.persistence.database import Database


class Own(Session):
    """A session of the service's own."""


class OwnAsync(AsyncSession):
    """One for asynchronous engines."""

    sync_session_class = Own


class Choosing(AsyncSession):
    """One that lets nobody else choose."""

    def __init__(self, bind: Any, **settings: Any) -> None:
        super().__init__(bind, sync_session_class=Own, **settings)


def database(sessions: Any) -> Database:
    return Database(sessions, loop=EventLoop())


@pytest.fixture
def sessions(tmp_path: Path) -> sessionmaker[Own]:
    return sessionmaker(create_engine(f"sqlite:///{tmp_path}/own.db"), class_=Own, info={"mine": 1})


def test_a_session_is_one_that_the_service_makes(sessions: sessionmaker[Own]) -> None:
    watched = WatchedSessions(database(sessions))
    sessions.configure(autoflush=False)
    with sessions.kw["bind"].connect() as connection:
        session = watched(connection, twophase=False)
        assert isinstance(session, Own)
        assert (session.info, session.autoflush, session.get_bind()) == ({"mine": 1}, False, connection)


def test_listeners_of_the_service_hear_of_it_and_theirs_do_not(sessions: sessionmaker[Own]) -> None:
    heard: list[tuple[str, Session]] = []
    event.listen(sessions, "after_commit", lambda session: heard.append(("before", session)))
    watched = WatchedSessions(database(sessions))
    event.listen(sessions, "after_commit", lambda session: heard.append(("after", session)))
    with sessions.kw["bind"].connect() as connection:
        first, second = session_of(watched(connection)), session_of(watched(connection))
        watch(first, after_commit=lambda session: heard.append(("told", session)))
        for session in (first, second):
            session.begin()
            session.commit()
    assert sorted(who for who, session in heard if session is first) == ["after", "before", "told"]
    assert sorted(who for who, session in heard if session is second) == ["after", "before"]
    heard.clear()
    with sessions() as own, own.begin():
        pass
    assert sorted(who for who, _ in heard) == ["after", "before"]


def test_who_watches_is_told_until_it_watches_no_more(sessions: sessionmaker[Own]) -> None:
    told: list[str] = []
    watched = WatchedSessions(database(sessions))
    with sessions.kw["bind"].connect() as connection:
        session = session_of(watched(connection))
        watch(session, after_commit=lambda _: told.append("commit"))
        watch(session, after_transaction_end=lambda *given: told.append(f"end of {type(given[1]).__name__}"))
        session.begin()
        session.commit()
        unwatch(session)
        session.begin()
        session.commit()
    assert told == ["commit", "end of SessionTransaction"]


@pytest.mark.parametrize("given", [{"class_": OwnAsync}, {"class_": Choosing}, {"sync_session_class": Own}])
def test_an_asynchronous_session_holds_one_of_the_services_own(given: dict[str, Any], tmp_path: Path) -> None:
    made: async_sessionmaker[AsyncSession] = async_sessionmaker(
        create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/own.db"), **given
    )
    told: list[Session] = []
    watched = WatchedSessions(database(made))
    with create_engine("sqlite://").connect() as connection:
        asynchronous = watched(connection)
        assert isinstance(asynchronous, given.get("class_", AsyncSession))
        session = session_of(asynchronous)
        assert isinstance(session, Own)
        watch(session, after_commit=told.append)
        session.begin()
        session.commit()
    assert told == [session]


def test_a_class_that_an_asynchronous_sessionmaker_gets_later_counts(tmp_path: Path) -> None:
    """As capture gives it one, when the application is built."""
    made = async_sessionmaker(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/own.db"))
    watched = WatchedSessions(database(made))
    made.kw["sync_session_class"] = Own
    with create_engine("sqlite://").connect() as connection:
        first, second = session_of(watched(connection)), session_of(watched(connection))
    assert isinstance(first, Own)
    assert type(first) is type(second)
