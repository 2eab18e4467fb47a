"""Asynchronous engines end to end: coroutines listen with AsyncSession, on the host's loop and on an own one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from streambind import PermanentError, StreamApplication, send_to, stream_listener
from streambind.testing.applications import Applications
from streambind.testing.eventually import eventually
from streambind.testing.streams import Streams
from tests.acceptance.stage import prepare
from tests.integration.application_code import CONFIGURATION, Added, Base, Copy, Thing, keep_async
from tests.integration.urls import drivers, through, url_of


@pytest.fixture(params=["memory", "embedded"])
def streambind_broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


_SYNCHRONOUS = {
    "postgresql+asyncpg": "postgresql+psycopg",
    "mysql+asyncmy": "mysql+pymysql",
    "mysql8+asyncmy": "mysql8+pymysql",
}


@pytest.fixture(params=drivers("sqlite+aiosqlite", *_SYNCHRONOUS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if not request.param.startswith("sqlite"):
        prepare(url := url_of(_SYNCHRONOUS[request.param], request, tmp_path))
        return through(request.param, url)
    return url_of(request.param, request, tmp_path)


def test_events_travel_on_the_hosts_loop(streams: Streams, stream_application: Applications, url: str) -> None:
    async def main() -> None:
        engine = create_async_engine(url)
        application = await _application(stream_application, engine, keep_async)
        async with streams.run(application):
            async with application.async_sessions.begin() as session:
                session.add_all([Thing(id=1), Thing(id=2)])
            async with application.async_sessions.begin() as session:
                await session.delete(await session.get_one(Thing, 1))
            await asyncio.to_thread(streams.settle)
            assert await _copies(application) == 2
        await engine.dispose()

    asyncio.run(main())
    assert [(e.id, str(e.job_type)) for e in streams.published("out-a", Added)] == [
        (1, "INSERT"),
        (2, "INSERT"),
        (1, "DELETE"),
    ]


def test_events_travel_on_a_loop_of_its_own(streams: Streams, stream_application: Applications, url: str) -> None:
    """As a program runs, `streambind run`: no event loop but the application's."""
    before = set(threading.enumerate())
    engine = create_async_engine(url, poolclass=NullPool)
    application = asyncio.run(_application(stream_application, engine, keep_async))

    async def write() -> None:
        async with application.async_sessions.begin() as session:
            session.add_all([Thing(id=number) for number in range(1, 21)])

    with streams.run(application):
        asyncio.run(write())
        streams.settle()
    assert asyncio.run(_copies(application)) == 20
    assert "streambind-event-loop" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_the_application_stops_and_runs_again_with_a_pool(
    streams: Streams, stream_application: Applications, url: str
) -> None:
    engine = create_async_engine(url)

    async def once(number: int, application: StreamApplication) -> None:
        async with streams.run(application):
            async with application.async_sessions.begin() as session:
                session.add(Thing(id=number))
            await asyncio.to_thread(streams.settle)
            assert await _copies(application) == number

    async def main() -> None:
        application = await _application(stream_application, engine, keep_async)
        await once(1, application)
        await once(2, application)
        await engine.dispose()

    asyncio.run(main())


def test_a_coroutine_that_waits_for_ever_does_not_outlive_its_application(
    streams: Streams, stream_application: Applications, url: str
) -> None:
    """Its transaction ends with it: the next start finds no lock on the position."""
    waits: list[int] = []

    @stream_listener("in-a")
    async def keep_later(event: Added, session: AsyncSession) -> None:
        await session.merge(Copy(id=event.id))
        await session.flush()
        if not waits:
            waits.append(event.id)
            await asyncio.Event().wait()

    async def main() -> None:
        application = await _application(
            stream_application, create_async_engine(url, poolclass=NullPool), keep_later
        )
        with streams.prepare(application):
            await asyncio.to_thread(application.start)
            async with application.async_sessions.begin() as session:
                session.add(Thing(id=1))
            await asyncio.to_thread(eventually, lambda: waits, 20, "the listener is never called")
            await asyncio.to_thread(application.stop, 200)
            assert await _copies(application) == 0
            await asyncio.to_thread(application.start)
            await asyncio.to_thread(streams.settle)
            assert await _copies(application) == 1
            await asyncio.to_thread(application.stop)

    asyncio.run(main())


def test_effects_and_replies_of_a_failed_try_are_undone(
    streams: Streams, stream_application: Applications, url: str
) -> None:
    tries: list[int] = []

    @stream_listener("in-a")
    @send_to("out-b")
    async def keep_and_tell(event: Added, session: AsyncSession) -> Added:
        session.add(Copy(id=event.id))
        await session.flush()
        tries.append(event.id)
        if event.id == 2:
            raise PermanentError("this one never")
        return event

    configuration = CONFIGURATION.replace("group: g}", "group: g, consumer: {onError: skip}}", 1)

    async def main() -> None:
        engine = create_async_engine(url)
        application = await _application(stream_application, engine, keep_and_tell, configuration)
        async with streams.run(application):
            async with application.async_sessions.begin() as session:
                session.add_all([Thing(id=number) for number in (1, 2, 3)])
            await asyncio.to_thread(streams.settle)
            assert await _copies(application) == 2
        await engine.dispose()

    asyncio.run(main())
    assert [event.id for event in streams.published("out-b", Added)] == [1, 3]
    assert 2 in tries


async def _application(
    make: Applications, engine: AsyncEngine, listener: object, configuration: str = CONFIGURATION
) -> StreamApplication:
    application = make(configuration, include=[Thing, listener], database=async_sessionmaker(engine))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return application


async def _copies(application: StreamApplication) -> int:
    async with application.async_sessions() as session:
        return await session.scalar(select(func.count()).select_from(Copy)) or 0
