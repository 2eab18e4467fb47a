"""Listeners and deliveries that are wrong on purpose: the checker must find what each of them breaks."""

from __future__ import annotations

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import streambind.inbound.input
from streambind import stream_listener
from streambind.binding.binder import Lane
from streambind.failpoints import failpoint
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.message import Batch, boundary
from tests.faults import effects


class OffsetsOnly:
    """A listener that commits by itself; what is done, only Kafka's offsets say."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)

    @stream_listener("in-items")
    def keep(self, event: effects.ItemChanged) -> None:
        with Session(self._engine) as session, session.begin():
            effects.apply(session, event)


class PositionFirst(DatabaseEffects):
    """Moves the position in a transaction of its own, before the handlers'."""

    def apply(self, batch: Batch, count: int, *, singly: bool) -> None:
        lane = Lane(batch.destination, batch.partition)
        start, end = boundary(batch, 0), boundary(batch, count)
        self._transaction(lambda connection: self._positions.move(connection, lane, start, end))
        failpoint("delivery.after_position")
        self._transaction(lambda connection: self._handling.run(connection, batch, range(count), singly=singly))


def listener(name: str) -> object:
    """What the service of the effects includes instead of its own listener."""
    if name == "offsets-only":
        return OffsetsOnly(os.environ["DATABASE_URL"])
    assert name == "position-first"
    vars(streambind.inbound.input)["DatabaseEffects"] = PositionFirst
    return effects
