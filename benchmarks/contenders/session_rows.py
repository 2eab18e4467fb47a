"""What SQLAlchemy itself takes: a loop by hand that writes with a session, many messages a transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.orm import Mapped, Session, mapped_column

from benchmarks.contenders.bare import BATCH, TUNED, consumer
from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.rows import Base, Category, CategoryChange
from benchmarks.contenders.watch import Watch


class Position(Base):
    __tablename__ = "position"

    partition: Mapped[int] = mapped_column(primary_key=True)
    next_offset: Mapped[int]


def written(course: dict[str, Any]) -> dict[str, float]:
    """Of each batch: every message as the handler would write it, and the positions, in one transaction."""
    engine = create_engine(course["database"])
    Base.metadata.create_all(engine)
    client, watch = consumer(course, TUNED), Watch(course)
    validate = CategoryChanged.model_validate_json
    write = {"merged": _merge, "added": _add}[course["writes"]]
    while not watch.done.is_set():
        messages = client.consume(BATCH, 0.2)
        if not messages:
            continue
        with Session(engine) as session, session.begin():
            ends: dict[int, int] = {}
            for message in messages:
                write(session, validate(message.value() or b""))
                ends[message.partition() or 0] = (message.offset() or 0) + 1
            for partition, end in ends.items():
                session.merge(Position(partition=partition, next_offset=end))
        watch.saw(len(messages))
    client.close()
    engine.dispose()
    return watch.figures()


def _merge(session: Session, event: CategoryChanged) -> None:
    session.merge(Category(category_id=event.category_id, category_name=event.category_name))


def _add(session: Session, event: CategoryChanged) -> None:
    session.add(CategoryChange(category_id=event.category_id, category_name=event.category_name))
