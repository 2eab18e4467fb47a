"""Replicas in whole applications: chains, several sources of one table, listeners beside them, mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from streambind import EntityEvent, JobType, StreamApplication, publishes, replicates, stream_listener
from streambind.application import input_targets
from streambind.binding.binder import ConsumerTarget
from streambind.errors import ConfigurationError
from streambind.persistence.schema import create_tables
from streambind.testing import Streams
from streambind.testing.applications import Applications

SOURCE = """
spring.cloud.stream.bindings:
  out-categories: {destination: categories}
  out-stock: {destination: stock}
"""
CHAIN = """
spring.cloud.stream.bindings:
  in-categories: {destination: categories, group: chain}
  out-titles: {destination: titles}
"""
READER = """
spring.cloud.stream.bindings:
  in-categories: {destination: categories, group: reader}
  in-stock: {destination: stock, group: reader}
"""


class Source(DeclarativeBase):
    pass


class CategoryChanged(EntityEvent):
    id: int
    name: str


class StockChanged(EntityEvent):
    id: int
    stock: int


@publishes("out-categories", CategoryChanged)
class Category(Source):
    __tablename__ = "category"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@publishes("out-stock", StockChanged)
class Stock(Source):
    __tablename__ = "stock"
    id: Mapped[int] = mapped_column(primary_key=True)
    stock: Mapped[int]


class Chained(DeclarativeBase):
    pass


class TitleChanged(EntityEvent):
    id: int
    title: str


@publishes("out-titles", TitleChanged)
@replicates("in-categories", CategoryChanged, columns={"title": "name"})
class Title(Chained):
    """Replicated, and published in turn."""

    __tablename__ = "title"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Read(DeclarativeBase):
    pass


@replicates("in-categories", CategoryChanged, owns=["name"], deletes="row")
@replicates("in-stock", StockChanged, owns=["stock"])
class Offer(Read):
    """Of two sources: a category's DELETE takes the row along, a stock's puts back its column."""

    __tablename__ = "offer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    stock: Mapped[int | None]


class Note(Read):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def write(stream: StreamApplication, *jobs: Callable[[Session], object]) -> None:
    """Each in a transaction of its own."""
    for job in jobs:
        with stream.sessions.begin() as session:
            job(session)


def put(entity: Any) -> Callable[[Session], object]:
    return lambda session: session.merge(entity)


def drop(cls: type, key: int) -> Callable[[Session], object]:
    return lambda session: session.delete(session.get_one(cls, key))


@pytest.fixture(params=["sqlite", "postgresql+psycopg", "postgresql+asyncpg"])
def chain_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "sqlite":
        yield sessionmaker(create_engine(f"sqlite:///{tmp_path / 'chain.db'}"))
        return
    url: str = request.getfixturevalue("postgres_url").replace("postgresql+psycopg", request.param)
    yield async_sessionmaker(create_async_engine(url)) if "asyncpg" in url else sessionmaker(create_engine(url))


def test_a_class_that_is_replicated_and_published_passes_every_change_on(
    streams: Streams, stream_application: Applications, chain_database: Any
) -> None:
    source = stream_application(SOURCE, include=[Category], metadata=Source.metadata)
    chain = stream_application(CHAIN, include=[Title], database=chain_database)
    database = chain.database
    assert database is not None
    create_tables(database)
    database.run(lambda connection: Chained.metadata.create_all(connection))
    with streams.run(source), streams.run(chain):
        write(
            source,
            put(Category(id=1, name="a")),
            put(Category(id=2, name="b")),
            put(Category(id=1, name="c")),
            drop(Category, 2),
        )
        streams.settle()
        told = [(e.job_type, e.id, e.title) for e in streams.published("out-titles", TitleChanged)]
    assert [each for each in told if each[1] == 1] == [(JobType.INSERT, 1, "a"), (JobType.UPDATE, 1, "c")]
    assert [each for each in told if each[1] == 2] == [(JobType.INSERT, 2, "b"), (JobType.DELETE, 2, "b")]
    assert database.run(lambda c: c.execute(select(Title.id, Title.title)).all()) == [(1, "c")]
    database.dispose()
    database.loop.close()


def test_several_sources_fill_one_table_each_its_columns(
    streams: Streams, stream_application: Applications
) -> None:
    source = stream_application(SOURCE, include=[Category, Stock], metadata=Source.metadata)
    reader = stream_application(READER, include=[Offer], metadata=Read.metadata)

    def offers() -> list[tuple[int, str | None, int | None]]:
        streams.settle()
        with reader.sessions() as session:
            query = select(Offer.id, Offer.name, Offer.stock).order_by(Offer.id)
            return [(row.id, row.name, row.stock) for row in session.execute(query)]

    with streams.run(source), streams.run(reader):
        write(source, put(Category(id=1, name="a")), put(Stock(id=1, stock=5)), put(Stock(id=2, stock=7)))
        assert offers() == [(1, "a", 5), (2, None, 7)]
        write(source, put(Category(id=1, name="b")), put(Category(id=2, name="c")), put(Stock(id=2, stock=8)))
        assert offers() == [(1, "b", 5), (2, "c", 8)]
        write(source, drop(Stock, 1), drop(Category, 2))
        assert offers() == [(1, "b", None)]


def test_a_listener_beside_a_replica_sees_its_rows_in_the_same_transaction(
    streams: Streams, stream_application: Applications
) -> None:
    @replicates("in-categories", CategoryChanged, owns=["name"], deletes="row")
    class Copy(Read):
        __tablename__ = "copy"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]

    @stream_listener("in-categories")
    def note(event: CategoryChanged, session: Session) -> None:
        found = session.get(Copy, event.id)
        session.add(Note(text=f"{event.job_type} {found.name if found else None}"))

    source = stream_application(SOURCE, include=[Category], metadata=Source.metadata)
    reader = stream_application(READER, include=[Copy, note], metadata=Read.metadata)
    with streams.run(source), streams.run(reader):
        write(source, put(Category(id=1, name="a")), put(Category(id=1, name="b")), drop(Category, 1))
        streams.settle()
        with reader.sessions() as session:
            assert session.scalars(select(Note.text).order_by(Note.id)).all() == [
                "INSERT a",
                "UPDATE b",
                "DELETE None",
            ]


@stream_listener("in-categories")
def looks(event: CategoryChanged, session: Session) -> None:
    """In a transaction, message by message."""


@stream_listener("in-categories")
def looks_at_many(events: list[CategoryChanged], session: Session) -> None:
    """What one partition had when it was asked."""


@stream_listener("in-categories")
def looks_outside(event: CategoryChanged) -> None:
    """Without a transaction."""


@pytest.mark.parametrize(
    ("include", "batch", "joins"),
    [
        ([Offer], 2000, True),
        ([Offer, looks], None, True),
        ([Offer, looks_at_many], None, False),
        ([looks], None, True),
        ([looks_at_many], None, False),
        ([looks_outside], None, False),
    ],
    ids=["replica", "and a listener", "and one of lists", "listener", "of lists", "without a session"],
)
def test_bindings_ask_for_batches_as_large_and_of_as_many_partitions_as_fits_what_is_called(
    streams: Streams,
    stream_application: Applications,
    monkeypatch: pytest.MonkeyPatch,
    include: list[Any],
    batch: int | None,
    joins: bool,
) -> None:
    targets: dict[str, ConsumerTarget] = {}

    def target(**given: Any) -> ConsumerTarget:
        return targets.setdefault(given["binding"], ConsumerTarget(**given))

    monkeypatch.setattr(input_targets, "ConsumerTarget", target)
    reader = stream_application(READER, include=include, metadata=Read.metadata)
    with streams.run(reader):
        found = targets["in-categories"]
        assert (found.batch, found.joins) == (batch, joins)


def refused(stream_application: Applications, configuration: str, *include: Any, **settings: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        stream_application(configuration, include=include, **settings)
    return [str(finding) for finding in raised.value.findings if finding.severity == "error"]


def copied(*marks: Callable[[type], type]) -> type:
    """A new class with these marks."""

    class Base(DeclarativeBase):
        pass

    class Copy(Base):
        __tablename__ = "copy"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    for mark in marks:
        mark(Copy)
    return Copy


def test_a_replica_without_a_binding_is_told_the_nearest(stream_application: Applications) -> None:
    (text,) = refused(stream_application, READER, copied(replicates("in-categorys", CategoryChanged)))
    assert "replica " in text
    assert "Copy uses channel 'in-categorys', which has no binding; did you mean 'in-categories'?" in text
    assert "test_replicated_application.py:" in text


def test_replicas_that_share_rows_at_one_binding_are_refused(stream_application: Applications) -> None:
    mark = replicates("in-categories", CategoryChanged)
    # The same mark twice is one mark.
    stream_application(READER, include=[copied(mark, mark)])

    of_some = replicates("in-categories", CategoryChanged, condition="headers['type'] == 'x'")
    of_name = replicates("in-categories", CategoryChanged, owns=["name"], deletes="row")
    (text,) = refused(stream_application, READER, copied(of_some, of_name))
    assert "in-categories is replicated into copy already" in text


def test_a_replica_into_a_table_that_another_class_publishes_is_refused(stream_application: Applications) -> None:
    class Base(DeclarativeBase):
        pass

    @publishes("out-titles", TitleChanged)
    class Published(Base):
        __tablename__ = "title"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]

    @replicates("in-categories", CategoryChanged, columns={"title": "name"})
    class Copy(Base):
        __table__ = Published.__table__

    (text,) = refused(stream_application, CHAIN, Published, Copy)
    assert "its table title is published by" in text
    assert "test_replicated_application.py:" in text


def test_a_replica_needs_a_database_and_a_group(stream_application: Applications, tmp_path: Path) -> None:
    without_group = READER.replace(", group: reader", "")
    found = refused(stream_application, without_group, Offer)
    assert any("it writes to a database, but in-categories has no group" in text for text in found)
    (tmp_path / "application.yaml").write_text(READER)
    with pytest.raises(ConfigurationError, match="it writes to a database, but the application has no database"):
        StreamApplication(tmp_path, include=[Offer], arguments=())


def test_a_batch_listener_goes_with_a_replica_but_not_with_one_that_is_published(
    stream_application: Applications,
) -> None:
    @stream_listener("in-categories")
    def count(events: list[CategoryChanged], session: Session) -> None:
        """Counts."""

    stream_application(READER, include=[Offer, count])
    (text,) = refused(stream_application, CHAIN, Title, count)
    assert "it takes batches from in-categories, another listener single messages" in text


def test_a_replica_goes_with_an_asynchronous_listener(
    streams: Streams, stream_application: Applications, tmp_path: Path
) -> None:
    @stream_listener("in-categories")
    async def note(event: CategoryChanged, session: AsyncSession) -> None:
        offer = await session.get_one(Offer, event.id)
        session.add(Note(text=f"{offer.name}"))

    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'reader.db'}")
    source = stream_application(SOURCE, include=[Category], metadata=Source.metadata)
    reader = stream_application(READER, include=[Offer, note], database=async_sessionmaker(engine))
    database = reader.database
    assert database is not None
    database.run(lambda connection: Read.metadata.create_all(connection))
    with streams.run(source), streams.run(reader):
        write(source, put(Category(id=1, name="a")), put(Category(id=1, name="b")))
        streams.settle()
        assert database.run(lambda c: c.scalars(select(Note.text)).all()) == ["a", "b"]
    database.dispose()
    database.loop.close()


def test_replicas_that_fill_the_same_columns_are_warned_of(stream_application: Applications) -> None:
    class Base(DeclarativeBase):
        pass

    @replicates("in-categories", CategoryChanged)
    @replicates("in-stock", CategoryChanged)
    class Both(Base):
        __tablename__ = "both"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    (found,) = stream_application(READER, include=[Both]).blueprint.findings
    assert "in-stock fills columns that in-categories fills too" in found.text
    assert stream_application(READER, include=[Offer]).blueprint.findings == ()
