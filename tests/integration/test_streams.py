"""The fixture `streams`: what it waits for, what it shows, and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

from streambind import (
    JobType,
    publish,
    publishes,
    stream_listener,
)
from streambind.errors import ConfigurationError, DecodeError, DestinationError, LifecycleError
from streambind.testing.applications import Applications
from streambind.testing.streams import Streams
from tests.integration.streams_code import BINDINGS, Added, Base, Copy, Thing, keep, pass_on


@pytest.fixture(params=["memory", "embedded", "kafka"])
def streambind_broker(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("kafka") if request.param == "kafka" else request.param)


on_memory = pytest.mark.parametrize("streambind_broker", ["memory"])


def test_settle_waits_for_chains_of_listeners(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(BINDINGS, include=[Thing, pass_on, keep], metadata=Base.metadata)
    with streams.run(application):
        for number in range(1, 21):
            with application.sessions.begin() as session:
                session.add(Thing(id=number))
        streams.settle()
        with application.sessions() as session:
            assert session.query(Copy).count() == 20
    assert {event.id for event in streams.published("out-a", Added)} == set(range(1, 21))
    assert {record.partition for record in streams.records("out-a")} == {0, 1, 2}
    assert len(streams.records("out-b")) == 20


def test_settle_waits_for_messages_of_the_bridge(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(BINDINGS, include=[pass_on, keep], metadata=Base.metadata)
    with streams.run(application):
        for number in range(50):
            application.bridge.send("out-a", {"jobType": "INSERT", "id": number}, key=number)
        streams.settle()
        with application.sessions() as session:
            assert session.query(Copy).count() == 50


@on_memory
def test_run_refuses_an_application_that_runs_already(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(BINDINGS.replace("kafka.binder.brokers: nowhere:9092", ""), include=[keep])
    with streams.run(application), pytest.raises(LifecycleError, match="runs already, on a broker"):
        streams.run(application).__enter__()
    assert not application.is_running


@on_memory
def test_run_raises_what_a_failing_start_raises_and_restores_the_binders(
    streams: Streams, stream_application: Applications
) -> None:
    configuration = f"{BINDINGS}spring.cloud.stream.kafka.binder.autoCreateTopics: false\n"
    application = stream_application(configuration, include=[keep])
    before = application.use_binders({})
    application.use_binders(before)
    with pytest.raises(DestinationError, match="does not exist"):
        streams.run(application).__enter__()
    assert not application.is_running
    assert application.use_binders({}) is before


def test_what_a_test_forgets_to_stop_is_stopped_with_it(
    streams: Streams, stream_application: Applications
) -> None:
    before = set(threading.enumerate())
    application = stream_application(BINDINGS, include=[keep])
    streams.run(application).__enter__()
    streams.close()
    assert not application.is_running
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not [name for name in left if not name.startswith("streambind-embedded")]


@on_memory
def test_published_names_what_is_wrong(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(BINDINGS, include=[Thing])
    with streams.run(application):
        application.bridge.send("out-b", "text").result()
        application.bridge.send("out-b", None, key="k").result()
    with pytest.raises(DecodeError, match="cannot be read as Added"):
        streams.published("out-b", Added)
    assert [record.payload for record in streams.records("out-b")] == [b"text", None]
    with pytest.raises(ConfigurationError, match=r"no binding|has a binding 'out-c'; bindings: in-a, in-b, out-a"):
        streams.published("out-c", Added)


@on_memory
def test_events_of_ones_own_are_published_too(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(BINDINGS, include=[])
    with streams.run(application):
        with application.sessions.begin() as session:
            publish(session, "out-b", Added(id=7, job_type=JobType.INSERT), key="7")
        streams.settle()
    assert [event.id for event in streams.published("out-b", Added)] == [7]


def test_an_application_runs_on_the_tests_event_loop_when_entered_async(
    streams: Streams, stream_application: Applications, tmp_path: Any
) -> None:
    loops: set[asyncio.AbstractEventLoop] = set()

    @stream_listener("in-a")
    async def copy(event: Added, session: AsyncSession) -> None:
        loops.add(asyncio.get_running_loop())
        await session.merge(Copy(id=event.id))

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'async.db'}")
        sessions = async_sessionmaker(engine)
        application = stream_application(BINDINGS, include=[Thing, copy], database=sessions)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with streams.run(application):
            async with sessions.begin() as session:
                session.add(Thing(id=3))
            with pytest.raises(LifecycleError, match="to_thread"):
                streams.settle()
            await asyncio.to_thread(streams.settle)
            async with sessions() as session:
                assert await session.get(Copy, 3) is not None
        assert loops == {asyncio.get_running_loop()}
        await engine.dispose()

    asyncio.run(main())
    assert [event.id for event in streams.published("out-a", Added)] == [3]


@on_memory
def test_a_prepared_application_is_started_by_the_web_application(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(BINDINGS, include=[Thing], metadata=Base.metadata)
    api = FastAPI(lifespan=application.lifespan)

    @api.post("/things/{number}")
    def add(number: int) -> None:
        with application.sessions.begin() as session:
            session.add(Thing(id=number))

    async def main() -> None:
        web = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test")
        async with api.router.lifespan_context(api), web:
            assert (await web.post("/things/8")).status_code == 200
            await asyncio.to_thread(streams.settle)

    with streams.prepare(application):
        asyncio.run(main())
        assert not application.is_running, "the web application ends what it has started"
    assert [event.id for event in streams.published("out-a", Added)] == [8]


def test_the_sessionmaker_of_the_test_may_be_given(stream_application: Applications, tmp_path: Any) -> None:
    sessions = sessionmaker(create_engine(f"sqlite:///{tmp_path / 'own.db'}"))
    assert stream_application(BINDINGS, include=[Thing], database=sessions).sessions is sessions


@on_memory
def test_classes_may_be_mapped_after_the_application_was_built(
    streams: Streams, stream_application: Applications
) -> None:
    class OwnBase(DeclarativeBase):
        pass

    @publishes("out-a", Added)
    class Early(OwnBase):
        __tablename__ = "early"

        id: Mapped[int] = mapped_column(primary_key=True)

    application = stream_application(BINDINGS, include=[Early])

    class Late(OwnBase):
        __tablename__ = "late"

        id: Mapped[int] = mapped_column(ForeignKey("early.id"), primary_key=True)
        early = relationship(Early, backref="lates")

    OwnBase.metadata.create_all(application.engine)
    with streams.run(application):
        with application.sessions.begin() as session:
            session.add(Late(id=4, early=Early(id=4)))
        streams.settle()
    assert [event.id for event in streams.published("out-a", Added)] == [4]
