"""What the pages say of tombstones behind conditions, and of what an UPDATE event carries."""

# ruff: noqa: RUF012 - SQLAlchemy's way of declaring: __mapper_args__

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from streambind import StreamApplication, publishes, replicates
from streambind.testing import Streams
from tests.integration.shops import Shop, ShopChanged, SourceBase

CONFIGURATION = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    {binding}
streambind.datasource.url: sqlite:///{database}
"""


class CopyBase(DeclarativeBase):
    pass


@publishes("out-shops", ShopChanged)
class VersionedShop(SourceBase):
    __tablename__ = "versioned_shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Copied:
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]


@replicates("in-shops", ShopChanged, condition="payload.country == 'KR'")
class Careless(Copied, CopyBase):
    __tablename__ = "careless"


@replicates("in-shops", ShopChanged, condition="payload == null or payload.country == 'KR'")
class Careful(Copied, CopyBase):
    __tablename__ = "careful"


@replicates("in-shops", ShopChanged)
class Whole(Copied, CopyBase):
    __tablename__ = "whole"


def application(folder: Path, name: str, binding: str, *include: object) -> StreamApplication:
    (folder / name).mkdir()
    text = CONFIGURATION.format(binding=binding, database=folder / f"{name}.db")
    (folder / name / "application.yaml").write_text(text)
    return StreamApplication(folder / name, include=include, arguments=())


@contextmanager
def running(
    streams: Streams, folder: Path, *copies: type, deletes: str = "event", source: type = Shop
) -> Iterator[tuple[StreamApplication, StreamApplication]]:
    output = f"out-shops: {{destination: shops, producer.deletes: {deletes}}}"
    writer = application(folder, "writer", output, source)
    reader = application(folder, "reader", "in-shops: {destination: shops, group: g}", *copies)
    SourceBase.metadata.create_all(writer.engine)
    CopyBase.metadata.create_all(reader.engine)
    with streams.run(writer), streams.run(reader):
        yield writer, reader
    for each in (writer, reader):
        each.engine.dispose()


def copies(reader: StreamApplication, cls: Any) -> dict[int, tuple[str, str]]:
    with reader.sessions() as session:
        return {row.id: (row.name, row.country) for row in session.execute(select(cls.id, cls.name, cls.country))}


@pytest.mark.parametrize(("deletes", "is_left"), [("event", False), ("tombstone", True)])
def test_a_condition_on_the_payload_holds_for_no_tombstone_unless_it_says_so(
    streams: Streams, tmp_path: Path, deletes: str, is_left: bool
) -> None:
    with running(streams, tmp_path, Careless, Careful, deletes=deletes) as (writer, reader):
        with writer.sessions.begin() as session:
            session.add_all([Shop(id=each, name="a", country="KR") for each in (1, 2)])
        streams.settle()
        with writer.sessions.begin() as session:
            session.delete(session.get_one(Shop, 1))
        streams.settle()
        assert copies(reader, Careful).keys() == {2}
        assert copies(reader, Careless).keys() == ({1, 2} if is_left else {2})


def test_what_leaves_a_condition_stays_as_it_was(streams: Streams, tmp_path: Path) -> None:
    with running(streams, tmp_path, Careful) as (writer, reader):
        with writer.sessions.begin() as session:
            session.add(Shop(id=1, name="a", country="KR"))
        streams.settle()
        with writer.sessions.begin() as session:
            session.get_one(Shop, 1).country = "US"
        streams.settle()
        assert copies(reader, Careful) == {1: ("a", "KR")}


def edit(writer: StreamApplication, cls: Any) -> None:
    """One session changes the country of a row, which another one gives a new name between its look and its
    change."""
    with writer.sessions(expire_on_commit=False) as late:
        found = late.get_one(cls, 1)
        late.commit()
        with writer.sessions.begin() as other:
            other.get_one(cls, 1).name = "new"
        found.country = "US"
        late.commit()


def test_an_update_carries_what_its_row_holds(streams: Streams, tmp_path: Path) -> None:
    with running(streams, tmp_path, Whole) as (writer, reader):
        with writer.sessions.begin() as session:
            session.add(Shop(id=1, name="old", country="KR"))
        edit(writer, Shop)
        streams.settle()
        with writer.sessions() as session:
            assert session.execute(select(Shop.name, Shop.country)).one() == ("new", "US")
        assert copies(reader, Whole) == {1: ("new", "US")}
        with writer.sessions.begin() as session:
            session.execute(update(Shop).values(country="FR"))
        streams.settle()
        assert copies(reader, Whole) == {1: ("new", "FR")}, "a bulk statement too"


def test_a_version_that_a_statement_has_left_as_it_was_proves_nothing(streams: Streams, tmp_path: Path) -> None:
    with running(streams, tmp_path, Whole, source=VersionedShop) as (writer, reader):
        with writer.sessions.begin() as session:
            session.add(VersionedShop(id=1, name="old", country="KR"))
        with writer.sessions(expire_on_commit=False) as late:
            found = late.get_one(VersionedShop, 1)
            late.commit()
            with writer.sessions.begin() as other:
                other.execute(update(VersionedShop).values(name="new"))
            found.country = "US"
            late.commit()
        streams.settle()
        assert copies(reader, Whole) == {1: ("new", "US")}


def test_a_version_refuses_a_session_that_holds_an_old_row(streams: Streams, tmp_path: Path) -> None:
    with running(streams, tmp_path, Whole, source=VersionedShop) as (writer, reader):
        with writer.sessions.begin() as session:
            session.add(VersionedShop(id=1, name="old", country="KR"))
        with pytest.raises(StaleDataError):
            edit(writer, VersionedShop)
        streams.settle()
        assert copies(reader, Whole) == {1: ("new", "KR")}
