"""Listeners and deliveries that are wrong on purpose: the checker must find what each of them breaks."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from types import ModuleType

from sqlalchemy import Connection, create_engine, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind import stream_listener
from streambind.binding.binder import Lane
from streambind.errors import PermanentError
from streambind.failpoints import failpoint
from streambind.inbound import input as inbound_input
from streambind.inbound import replica as inbound_replica
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.failure import Trouble
from streambind.inbound.handler_session import session_of
from streambind.inbound.positions import DatabasePositions, Stretch
from streambind.inbound.replica_rows import LastWords, ReplicaRows
from streambind.message import Batch, Message, boundary
from tests.faults import effects, published_replica, replica


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

    def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
        start, end = boundary(batch, 0), boundary(batch, count)
        stretch = Stretch(Lane(batch.destination, batch.partition), start, end)
        self._transaction(
            lambda connection: (
                self._positions.claim(connection, stretch),
                self._positions.move(connection, stretch),
            )
        )
        failpoint("delivery.after_position")
        self._transaction(lambda connection: self._handling.run(connection, batch, range(count), singly=singly))
        return count


class Poisoned:
    """A listener that fails for good at every version that three divides, after its effects."""

    @stream_listener("in-items")
    def keep(self, event: effects.ItemChanged, session: Session) -> None:
        effects.apply(session, event)
        if event.version % 3 == 0:
            raise PermanentError(f"version {event.version}")


class LetterFirst(DatabaseEffects):
    """Sends dead letters directly, before the commit."""

    def pass_over(self, batch: Batch, index: int, letter: Message | None) -> None:
        if letter is not None and self._dead_letters is not None:
            self._dead_letters.send(letter)
        super().pass_over(batch, index, None)


class FailsUnlessParked:
    """A listener that fails at every second item, after its effects, until the retry worker has it. No mutant."""

    @stream_listener("in-items")
    def keep(self, event: effects.ItemChanged, session: Session) -> None:
        effects.apply(session, event)
        if event.item_id % 2 == 0 and not threading.current_thread().name.endswith("-parked"):
            raise ValueError("not yet")


class PositionBeforeParking(DatabaseEffects):
    """Moves past a message that fails, and parks it in a transaction of its own."""

    def park(self, batch: Batch, index: int, error: Exception) -> None:
        self._transaction(lambda connection: self._step(connection, batch, index))
        failpoint("parking.after_key")
        self._transaction(lambda connection: self._parked.park(connection, batch, index, error))


class Unconditional(DatabasePositions):
    """Moves the position wherever it stands: the last owner wins, whoever was the rightful one."""

    def claim(self, connection: Connection, *stretches: Stretch) -> bool:
        return True

    def move(self, connection: Connection, *stretches: Stretch) -> bool:
        position = self._table.c
        mine = position.group_name == self._group
        for lane, _, end in stretches:
            here = (position.destination == lane.destination) & (position.partition == lane.partition)
            connection.execute(update(self._table).where(here & mine).values(next_offset=end))
        return True


class TakenForGranted(DatabaseEffects):
    """Takes a commit that was not confirmed for one that came about."""

    def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
        with contextlib.suppress(Trouble):
            return super().apply(batch, count, singly=singly)
        return count


class WrittenElsewhere(ReplicaRows):
    """Writes a replica's rows in a transaction of its own, before the one that moves the position."""

    def _write(self, session: Session | AsyncSession, words: LastWords) -> None:
        with Session(session_of(session).connection().engine) as own, own.begin():
            super()._write(own, words)


def included(name: str) -> list[object]:
    """What the service of the effects includes instead of its own listener."""
    for module, replaced in _REPLACED[name].items():
        vars(module).update(replaced)
    if name in ("replica", "replica-written-elsewhere"):
        return [replica.Copy, replica.keep_log]
    if name == "replica-fails-unless-parked":
        return [replica.keep_log, replica.FailsUnlessParked]
    if name == "published-replica":
        return [published_replica]
    if name == "offsets-only":
        return [OffsetsOnly(os.environ["DATABASE_URL"])]
    if name in ("fails-unless-parked", "position-before-parking"):
        return [FailsUnlessParked()]
    return [Poisoned() if name in ("poisoned", "letter-first") else effects]


_REPLACED: Mapping[str, Mapping[ModuleType, Mapping[str, type]]] = {
    "offsets-only": {},
    "poisoned": {},
    "fails-unless-parked": {},
    "replica": {},
    "published-replica": {},
    "replica-fails-unless-parked": {},
    "letter-first": {inbound_input: {"DatabaseEffects": LetterFirst}},
    "position-before-parking": {inbound_input: {"DatabaseEffects": PositionBeforeParking}},
    "position-first": {inbound_input: {"DatabaseEffects": PositionFirst}},
    "position-unconditional": {inbound_input: {"DatabasePositions": Unconditional}},
    # Comparing, the next move would notice.
    "commit-taken-for-granted": {
        inbound_input: {"DatabaseEffects": TakenForGranted, "DatabasePositions": Unconditional}
    },
    "replica-written-elsewhere": {inbound_replica: {"ReplicaRows": WrittenElsewhere}},
}
