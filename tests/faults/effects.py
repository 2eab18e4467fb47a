"""A service whose listener's effects can be counted: `python -m tests.faults.effects`, until SIGTERM.

Per event one row in a log without unique constraint, one more on a counter, and the copy of the item: an event
that is handled twice, or half, shows. LISTENER names one of `tests.faults.mutants` to be used instead; in the
profile of `tests.faults.mirrors` there are replicas beside it.
"""

from __future__ import annotations

import tests.faults.clock  # isort: skip  # noqa: F401

import logging
import os
import random
import sys

from sqlalchemy import String, delete, func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, JobType, StreamApplication, stream_listener

_FAILING = float(os.environ.get("FAILING", "0"))
"""The share of calls in which the listener raises."""
_SLOW_S = float(os.environ.get("SLOW_S", "0"))
"""How long the listener takes for an event, in the database and in its transaction."""
_chance = random.Random()


class ItemChanged(EntityEvent):
    item_id: int
    version: int


class Base(DeclarativeBase):
    pass


class Effect(Base):
    """The log: ids grow in the order of the handling, within a partition."""

    __tablename__ = "effect"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int]
    version: Mapped[int]
    job: Mapped[str] = mapped_column(String(6))


class Counter(Base):
    """One row per item, made by the first effect."""

    __tablename__ = "counter"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


class Copy(Base):
    """The read model."""

    __tablename__ = "copy"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


def log(session: Session, event: ItemChanged) -> None:
    """Log and counter of one event."""
    session.add(Effect(item_id=event.item_id, version=event.version, job=str(event.job_type)))
    counted = update(Counter).where(Counter.item_id == event.item_id).values(value=Counter.value + 1)
    if session.execute(counted).rowcount == 0:  # type: ignore[attr-defined]
        session.add(Counter(item_id=event.item_id, value=1))


def apply(session: Session, event: ItemChanged) -> None:
    """The effects of one event."""
    log(session, event)
    if event.job_type is JobType.DELETE:
        session.execute(delete(Copy).where(Copy.item_id == event.item_id))
    else:
        session.merge(Copy(item_id=event.item_id, version=event.version))
    session.flush()


@stream_listener("in-items")
def keep(event: ItemChanged, session: Session) -> None:
    apply(session, event)
    if _SLOW_S:
        session.execute(select(func.pg_sleep(_SLOW_S)))
    if _chance.random() < _FAILING:
        raise ConnectionAbortedError("a handler that fails after its writes")


def main() -> None:
    from tests.faults import effects, mirrors, mutants

    logging.basicConfig(level="INFO")
    included = mutants.included(os.environ["LISTENER"]) if "LISTENER" in os.environ else [effects]
    if os.environ.get("SPRING_PROFILES_ACTIVE") == mirrors.PROFILE:
        included.append(mirrors)
    stream = StreamApplication("tests/faults/config/effects", include=included)
    sys.stdout.write("runs\n")
    stream.run()


if __name__ == "__main__":
    main()
