"""Listeners and databases that do not fit together: said when bindings are planned, before anything connects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from streambind.persistence.database import Database
from tests.unit.inbound.planning import LOOP, mistakes, plan


class Routing(Session):
    def get_bind(self, *args: Any, **kwargs: Any) -> Any:
        return super().get_bind(*args, **kwargs)


class Special(Session): ...


class SpecialAsync(AsyncSession):
    sync_session_class = Routing


SYNCHRONOUS = create_engine("sqlite:///never-opened.db")
ASYNCHRONOUS = create_async_engine("sqlite+aiosqlite:///never-opened.db")


def database(sessions: sessionmaker[Any] | async_sessionmaker[Any]) -> dict[str, Database]:
    return {"database": Database(sessions, loop=LOOP)}


def stores(event: str, session: Session) -> None: ...


async def stores_async(event: str, session: AsyncSession) -> None: ...


def stores_specially(event: str, session: Special) -> None: ...


def looks(event: str) -> None: ...


@pytest.mark.parametrize(
    ("listener", "sessions", "text"),
    [
        (
            stores_async,
            sessionmaker(SYNCHRONOUS),
            "listener stores_async: it takes AsyncSession, but the database is synchronous (sessionmaker); "
            "take Session in a def",
        ),
        (
            stores,
            async_sessionmaker(ASYNCHRONOUS),
            "listener stores: it takes Session, but the database is asynchronous (async_sessionmaker); "
            "take AsyncSession in an async def",
        ),
        (stores_specially, sessionmaker(SYNCHRONOUS), "it takes Special, but the sessionmaker makes Session"),
        (stores, sessionmaker(SYNCHRONOUS, class_=Routing), "the sessionmaker picks engines by itself"),
        (
            stores,
            sessionmaker(SYNCHRONOUS, binds={Special: SYNCHRONOUS}),
            "the sessionmaker picks engines by itself",
        ),
        (
            stores_async,
            async_sessionmaker(ASYNCHRONOUS, class_=SpecialAsync),
            "the sessionmaker picks engines by itself",
        ),
    ],
)
def test_a_session_that_the_database_does_not_give(
    listener: Callable[..., Any], sessions: sessionmaker[Any] | async_sessionmaker[Any], text: str
) -> None:
    assert text in mistakes(listener, group="g", surroundings=database(sessions))


def test_an_anonymous_group_has_no_position_to_keep() -> None:
    text = mistakes(stores, surroundings=database(sessionmaker(SYNCHRONOUS)))

    assert "it takes Session, but in-things has no group" in text
    assert "set bindings.in-things.group" in text


def test_one_listener_with_a_session_makes_the_mode_the_databases_for_all() -> None:
    around = database(sessionmaker(SYNCHRONOUS))

    assert plan(looks, stores, group="g", surroundings=around).positions is not None
    assert plan(looks, group="g", surroundings=around).positions is None
    [finding] = plan(stores, group="g", surroundings=around, replay=True).findings
    assert "consumer.replay has no effect" in finding.text


def test_a_session_of_ones_own_class_is_given() -> None:
    around = database(sessionmaker(SYNCHRONOUS, class_=Special))

    assert plan(stores_specially, stores, group="g", surroundings=around).positions is not None


def test_a_database_of_the_configuration_is_called_by_its_key() -> None:
    given = {"database": Database.from_url("sqlite:///never-opened.db", loop=LOOP)}

    assert "the database is synchronous (streambind.datasource.url: sqlite); take Session in a def" in mistakes(
        stores_async, surroundings=given, group="g"
    )
