"""Our handlers that write rows, exactly once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from benchmarks.contenders.rows import Base, Category, CategoryChange
from benchmarks.contenders.streambind_listener import BINDING, CategoryChanged, listened
from streambind import replicates, stream_listener
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables


@stream_listener(BINDING)
def keep(event: CategoryChanged, session: Session) -> None:
    session.merge(Category(category_id=event.category_id, category_name=event.category_name))


@stream_listener(BINDING)
def note(event: CategoryChanged, session: Session) -> None:
    session.add(CategoryChange(category_id=event.category_id, category_name=event.category_name))


replicates(BINDING, CategoryChanged)(Category)


def replica(course: dict[str, Any]) -> dict[str, float]:
    return _kept(course, Category)


def merged(course: dict[str, Any]) -> dict[str, float]:
    return _kept(course, keep)


def added(course: dict[str, Any]) -> dict[str, float]:
    return _kept(course, note)


def written(course: dict[str, Any]) -> dict[str, float]:
    return {"merged": merged, "added": added}[course["writes"]](course)


def _kept(course: dict[str, Any], included: object) -> dict[str, float]:
    database = Database.from_url(course["database"], loop=EventLoop())
    create_tables(database)
    database.dispose()
    engine = create_engine(course["database"])
    Base.metadata.create_all(engine)
    engine.dispose()
    return listened(course, included)
