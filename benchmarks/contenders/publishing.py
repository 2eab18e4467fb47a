"""What the contenders of the way out write and publish, and the application that does it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from streambind import EntityEvent, StreamApplication, publishes
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables

OUTPUT = "out-categoryChanged"
INPUT = "in-categoryChanged"


class Base(DeclarativeBase):
    pass


class Columns:
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    begun_ns: Mapped[int] = mapped_column(BigInteger)


class Unpublished(Columns, Base):
    """The limit's: nobody hears of it."""

    __tablename__ = "unpublished"


class CategoryChanged(EntityEvent):
    id: int
    name: str
    description: str
    begun_ns: int


@publishes(OUTPUT, CategoryChanged)
class Category(Columns, Base):
    __tablename__ = "category"


class Replica(Base):
    """The read model."""

    __tablename__ = "replica"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def engine_of(course: dict[str, Any]) -> Engine:
    """An engine on the course's database, in which all tables are."""
    database = Database.from_url(course["database"], loop=EventLoop())
    create_tables(database)
    database.dispose()
    engine = create_engine(course["database"])
    Base.metadata.create_all(engine)
    return engine


def application(
    course: dict[str, Any], sessions: sessionmaker[Session], *, publish: str = "outbox", relay: bool = True
) -> StreamApplication:
    """An application that publishes `Category` to the course's topic, with the course's settings of the outbox."""
    outbox = json.dumps({"relay": relay, **course.get("outbox", {})})
    text = f"""
        spring.cloud.stream:
          kafka.binder.brokers: {course["brokers"]}
          bindings:
            {OUTPUT}:
              destination: {course["topic"]}
              producer: {{publish: {publish}}}
        streambind.outbox: {outbox}
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_text(text)
        return StreamApplication(folder, database=sessions, include=[Category], arguments=[])


def commit(sessions: sessionmaker[Session], entity: type[Category | Unpublished], size: int, now_ns: int) -> None:
    """One commit of so many new entities."""
    with sessions() as session:
        for number in range(size):
            session.add(entity(name=f"최종테스트 {number}", description="x" * 100, begun_ns=now_ns))
        session.commit()


def change(sessions: sessionmaker[Session], entity: type[Category | Unpublished], size: int, now_ns: int) -> None:
    """One commit that changes one column of each of the first entities, which it looks at before."""
    with sessions() as session:
        for each in session.scalars(select(entity).order_by(entity.id).limit(size)):
            each.begun_ns = now_ns
        session.commit()
