"""Events change their shape between versions of the services: rows of the old version leave the outbox of the new
one, and a consumer that is left behind keeps what it can read and sets aside, with a reason, what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from streambind import EntityEvent, StreamApplication, publishes, stream_listener
from streambind.testing import Streams, eventually
from streambind.testing.applications import Applications
from tests.acceptance.stage import prepare

WITHIN_S = 40.0
OUT = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings.out-things: {destination: things}
"""
IN = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings.in-things: {destination: things, group: readers, consumer: {maxAttempts: 1}}
"""


class Level(StrEnum):
    LOW = "LOW"
    HIGH = "HIGH"


class NewLevel(StrEnum):
    LOW = "LOW"
    HIGH = "HIGH"
    EXTREME = "EXTREME"


class OldChanged(EntityEvent, event_type="ThingChanged"):
    id: int
    name: str
    level: Level


class NewChanged(EntityEvent, event_type="ThingChanged"):
    """`note` is new, `level` has one value more."""

    id: int
    name: str
    level: NewLevel
    note: str | None = None


class RenamedChanged(EntityEvent, event_type="ThingChanged"):
    """`name` is called `title`."""

    id: int
    title: str
    level: NewLevel


class Base(DeclarativeBase):
    """Of the source: the tables of all versions have the same columns."""


class ThingColumns:
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    level: Mapped[str]
    note: Mapped[str | None]


@publishes("out-things", OldChanged)
class OldThing(ThingColumns, Base):
    __tablename__ = "old_thing"


@publishes("out-things", NewChanged)
class NewThing(ThingColumns, Base):
    __tablename__ = "new_thing"


@publishes(
    "out-things",
    RenamedChanged,
    build=lambda t, job: RenamedChanged(job_type=job, id=t.id, title=t.name, level=t.level),
)
class RenamedThing(ThingColumns, Base):
    __tablename__ = "renamed_thing"


class Copies(DeclarativeBase):
    """Of the reader."""


class Copy(Copies):
    __tablename__ = "copy"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    level: Mapped[str]


@stream_listener("in-things")
def keep_old(event: OldChanged, session: Session) -> None:
    session.merge(Copy(id=event.id, name=event.name, level=event.level))


@stream_listener("in-things")
def keep_new(event: NewChanged, session: Session) -> None:
    session.merge(Copy(id=event.id, name=event.name, level=event.level))


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """The source's database."""
    prepare(postgres_url)
    made = create_engine(postgres_url)
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def test_rows_of_the_old_version_leave_the_outbox_of_the_new_one(
    streams: Streams, stream_application: Applications, engine: Engine
) -> None:
    old = stream_application(OUT, include=[OldThing], database=sessionmaker(engine))
    with streams.prepare(old), old.sessions.begin() as session:
        session.add(OldThing(id=1, name="written before", level="LOW"))
    new = stream_application(OUT, include=[NewThing], database=sessionmaker(engine))
    reader = stream_application(IN, include=[keep_new], metadata=Copies.metadata)
    with streams.run(new), streams.run(reader):
        with new.sessions.begin() as session:
            session.add(NewThing(id=2, name="written after", level="EXTREME", note="new"))
        streams.settle()
    assert _copies(reader) == {1: ("written before", "LOW"), 2: ("written after", "EXTREME")}


def test_an_old_consumer_reads_what_it_can_and_parks_what_it_cannot(
    streams: Streams, stream_application: Applications, engine: Engine
) -> None:
    producer = stream_application(OUT, include=[NewThing, RenamedThing], database=sessionmaker(engine))
    reader = stream_application(IN, include=[keep_old], metadata=Copies.metadata)
    with streams.run(producer), streams.run(reader):
        with producer.sessions.begin() as session:
            session.add(NewThing(id=1, name="a new field", level="LOW", note="new"))
            session.add(NewThing(id=2, name="a new value", level="EXTREME"))
            session.add(RenamedThing(id=3, name="a new name", level="LOW"))
            session.add(NewThing(id=4, name="as ever", level="HIGH"))
        eventually(
            lambda: len(_copies(reader)) == 2 and len(_parked(reader)) == 2, WITHIN_S, lambda: str(_parked(reader))
        )
    assert _copies(reader) == {1: ("a new field", "LOW"), 4: ("as ever", "HIGH")}
    reasons = _parked(reader)
    assert set(reasons) == {b"2", b"3"}
    assert all(reasons.values())


def _copies(reader: StreamApplication) -> dict[int, tuple[str, str]]:
    with reader.sessions() as session:
        return {copy.id: (copy.name, copy.level) for copy in session.scalars(select(Copy))}


def _parked(reader: StreamApplication) -> dict[bytes, str]:
    """The keys that are set aside, and why."""
    assert reader.database is not None
    parked = reader.database.tables.parked_key.c
    with reader.engine.connect() as connection:
        return {row.key: row.error_class for row in connection.execute(select(parked.key, parked.error_class))}
