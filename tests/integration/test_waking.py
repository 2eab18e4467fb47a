"""Whatever an application commits wakes its relay: nothing waits for the relay to look by itself, which it never
does here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from streambind import PermanentError, StreamApplication, publish, stream_listener
from streambind.outbound.outbox_status import outbox_status
from streambind.persistence.schema import create_tables
from streambind.testing.applications import Applications
from streambind.testing.eventually import eventually
from streambind.testing.streams import Streams
from tests.acceptance.stage import prepare
from tests.integration.application_code import CONFIGURATION, Base, Thing

pytestmark = pytest.mark.usefixtures("without_polling")

WITHIN_S = 20.0
KEYS = range(200)
"""So many that each shard gets one."""
# A lease that is renewed in the middle of a test is no reason to look either, but one that ran out is.
YAML = f"""{CONFIGURATION}
    out-start: {{destination: start}}
    out-letters: {{destination: error.b.g}}
  kafka.bindings.in-b.consumer.enableDlq: true
streambind.outbox.lease: 1h
"""


@stream_listener("in-a")
def answer(event: dict[str, object], session: Session) -> None:
    publish(session, "out-start", event, key="1")


@stream_listener("in-b")
def refuse(event: dict[str, object], session: Session) -> None:
    raise PermanentError("no")


def _sent(application: StreamApplication) -> None:
    assert application.database is not None
    database = application.database
    eventually(lambda: outbox_status(database).backlog == 0, WITHIN_S, lambda: f"it sleeps: {application.relay}")


def _write_all_shards(application: StreamApplication) -> None:
    """Before the start. Once this is sent the relay has every shard and has read it: it looks no more, for what
    it reads after a send it reads in the transaction that deletes the rows."""
    with application.sessions.begin() as session:
        for key in KEYS:
            publish(session, "out-start", {}, key=str(key))


@pytest.fixture
def resting(streams: Streams, stream_application: Applications) -> Iterator[StreamApplication]:
    """An application whose relay has nothing to do."""
    application = stream_application(YAML, include=[Thing, answer, refuse], metadata=Base.metadata)
    assert application.database is not None
    create_tables(application.database)
    _write_all_shards(application)
    with streams.run(application):
        _sent(application)
        yield application


def test_a_flushed_entity_does(resting: StreamApplication) -> None:
    with resting.sessions.begin() as session:
        session.add(Thing(id=1))
        with session.begin_nested():
            session.add(Thing(id=2))
    _sent(resting)


def test_a_bulk_statement_does(resting: StreamApplication) -> None:
    with resting.sessions.begin() as session:
        session.execute(insert(Thing).values([{"id": 1}, {"id": 2}]))
    _sent(resting)


def test_an_event_of_ones_own_does_time_and_again(resting: StreamApplication) -> None:
    for _ in range(3):
        with resting.sessions() as session:
            publish(session, "out-start", {}, key="1")
            session.commit()
            _sent(resting)


def test_what_a_listener_publishes_does(streams: Streams, resting: StreamApplication) -> None:
    resting.bridge.send("out-a", {}).result(WITHIN_S)
    eventually(lambda: len(streams.records("out-start")) == len(KEYS) + 1, WITHIN_S, "the answer was not sent")


def test_a_dead_letter_does(streams: Streams, resting: StreamApplication) -> None:
    resting.bridge.send("out-b", {}).result(WITHIN_S)
    eventually(lambda: streams.records("out-letters"), WITHIN_S, "the dead letter was not sent")


@pytest.mark.parametrize("driver", ["aiosqlite", "asyncpg"])
def test_a_commit_of_an_asynchronous_engine_does(
    streams: Streams, stream_application: Applications, tmp_path: Path, request: pytest.FixtureRequest, driver: str
) -> None:
    url = f"sqlite:///{tmp_path / 'service.db'}"
    if driver == "asyncpg":
        url = request.getfixturevalue("postgres_url")
    prepare(url)

    async def main() -> None:
        engine = create_async_engine(make_url(url).set(drivername=f"{make_url(url).get_backend_name()}+{driver}"))
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        application = stream_application(YAML, include=[Thing], database=async_sessionmaker(engine))
        async with application.async_sessions.begin() as session:
            for key in KEYS:
                publish(session, "out-start", {}, key=str(key))
        async with streams.run(application):
            await asyncio.to_thread(_sent, application)
            async with application.async_sessions.begin() as session:
                session.add(Thing(id=1))
            await asyncio.to_thread(_sent, application)
        await engine.dispose()

    asyncio.run(main())
