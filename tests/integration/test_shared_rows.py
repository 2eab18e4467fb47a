"""Rows that several sessions change at once, end to end: a replica holds what its source holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from streambind import StreamApplication, replicates
from streambind.testing import Streams
from streambind.testing.applications import Applications
from tests.acceptance.stage import prepare
from tests.integration.shops import Shop, ShopChanged, SourceBase
from tests.integration.urls import drivers, through, url_of

WRITER = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    out-shops: {destination: shops, producer.publish: PUBLISH}
"""
READER = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    in-shops: {destination: shops, group: g}
"""


class CopyBase(DeclarativeBase):
    pass


@replicates("in-shops", ShopChanged)
class Copy(CopyBase):
    __tablename__ = "copy"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]


@pytest.fixture(params=drivers("sqlite+aiosqlite", "postgresql+psycopg", "postgresql+asyncpg", "mysql+asyncmy"))
def asynchronous_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    synchronous = {"postgresql+asyncpg": "postgresql+psycopg", "mysql+asyncmy": "mysql+pymysql"}
    return through(request.param, _url(synchronous.get(request.param, request.param), request, tmp_path))


@pytest.fixture(params=drivers("sqlite", "postgresql+psycopg", "mysql+pymysql"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return _url(request.param, request, tmp_path)


def _url(driver: str, request: pytest.FixtureRequest, folder: Path) -> str:
    url = url_of(driver, request, folder)
    if not driver.startswith("sqlite"):
        prepare(url)
    return url


@pytest.mark.parametrize("publish", ["outbox", "after-commit"])
def test_a_replica_holds_what_two_sessions_have_made_of_a_row(
    streams: Streams, stream_application: Applications, url: str, publish: str
) -> None:
    engine = create_engine(url)
    sessions = sessionmaker(engine, expire_on_commit=False)
    writer = stream_application(
        WRITER.replace("PUBLISH", publish), include=[Shop], database=sessions, metadata=SourceBase.metadata
    )
    reader = stream_application(READER, include=[Copy], metadata=CopyBase.metadata)
    with streams.run(writer), streams.run(reader):
        with sessions.begin() as session:
            session.add(Shop(id=1, name="old", country="KR"))
        with sessions() as late:
            shop = late.get_one(Shop, 1)
            if engine.dialect.name == "sqlite":
                late.commit()  # Else it would hold the whole database.
            with sessions.begin() as early:
                early.get_one(Shop, 1).name = "new"
            shop.country = "US"
            late.commit()
        streams.settle()
        with sessions() as session:
            stored = session.execute(select(Shop.name, Shop.country)).one()
        assert tuple(stored) == ("new", "US")
        assert _copy(reader) == ("new", "US")


def test_a_replica_holds_what_two_asynchronous_sessions_have_made_of_a_row(
    streams: Streams, stream_application: Applications, asynchronous_url: str
) -> None:
    async def main() -> None:
        engine = create_async_engine(asynchronous_url)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        writer = stream_application(WRITER.replace("PUBLISH", "outbox"), include=[Shop], database=sessions)
        reader = stream_application(READER, include=[Copy], metadata=CopyBase.metadata)
        async with engine.begin() as connection:
            await connection.run_sync(SourceBase.metadata.create_all)
        async with streams.run(writer), streams.run(reader):
            async with sessions.begin() as session:
                session.add(Shop(id=1, name="old", country="KR"))
            async with sessions() as late:
                await _change(late, sessions)
            await asyncio.to_thread(streams.settle)
            assert _copy(reader) == ("new", "US")
        await engine.dispose()

    asyncio.run(main())


async def _change(late: AsyncSession, sessions: async_sessionmaker[AsyncSession]) -> None:
    shop = await late.get_one(Shop, 1)
    if late.get_bind().dialect.name == "sqlite":
        await late.commit()
    async with sessions.begin() as early:
        (await early.get_one(Shop, 1)).name = "new"
    shop.country = "US"
    await late.commit()


def _copy(reader: StreamApplication) -> tuple[str, str]:
    with Session(reader.engine) as session:
        name, country = session.execute(select(Copy.name, Copy.country)).one()
    return name, country
