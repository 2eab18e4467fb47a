"""Replicas of the items beside the listener with the effects, in groups of their own, and without a handler.

Part of the service of the effects in the profile `mirrors`: a table whose rows come and go, one whose rows stay
and are marked, and one that is published in turn, so that its rows go through a session and its outbox.
"""

from __future__ import annotations

import os
import random

from sqlalchemy import Engine, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import publishes, replicates
from tests.faults.effects import ItemChanged

PROFILE = "mirrors"
_FAILING = float(os.environ.get("FAILING", "0")) / 4
"""The share of events that a replica fails at: what is parked is tried one by one, and there are several."""
_chance = random.Random()


def _version(event: ItemChanged) -> int:
    if _chance.random() < _FAILING:
        raise ConnectionAbortedError("a replica that fails at an event")
    return event.version


class Base(DeclarativeBase):
    pass


@replicates("in-mirrors", ItemChanged)
class Mirror(Base):
    __tablename__ = "mirror"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


@replicates("in-mirrors", ItemChanged, transform={"version": _version}, soft_delete="is_gone")
class Marked(Base):
    __tablename__ = "marked"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    is_gone: Mapped[bool]


@publishes("out-passed", ItemChanged)
@replicates("in-passed", ItemChanged, transform={"version": _version})
class Passed(Base):
    __tablename__ = "passed"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


def copies(engine: Engine) -> dict[str, dict[int, int]]:
    """What each of them says that the items are; nothing where the profile has never been in use."""
    if not inspect(engine).has_table(Mirror.__tablename__):
        return {}
    with Session(engine) as session:
        return {
            "mirror": {row.item_id: row.version for row in session.scalars(select(Mirror))},
            "marked": {row.item_id: row.version for row in session.scalars(select(Marked).where(~Marked.is_gone))},
            "passed": {row.item_id: row.version for row in session.scalars(select(Passed))},
        }
