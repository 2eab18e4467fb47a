"""Replaying dead letters: back to the group that failed, and to nobody else.

A letter joins the parked messages of its key, in the database where the group keeps its positions; the worker that
tries those again handles it, by the same guard and handlers, and later messages of the key wait behind it. The
destination that it came from is not written to, so no other consumer of that sees it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from streambind.configuration.properties import ParkingProperties
from streambind.errors import PermanentError
from streambind.inbound.failure import MessageFailed
from streambind.inbound.letter import Letter
from streambind.inbound.numbers import event_of
from streambind.inbound.parked_batch import ParkedBatch
from streambind.inbound.parked_keys import ParkedKeys, queue_of
from streambind.inbound.parked_queues import ParkedMessage, ParkedQueues
from streambind.inbound.reasons import kept_reason
from streambind.inbound.replay import MAX_REPLAYS, LetterPlace, ReplayOutcome, place_of
from streambind.inbound.sequence import Applied, Chain, is_other
from streambind.message import ORIGIN, origin_of
from streambind.persistence.database import Database
from streambind.persistence.stored_headers import store_headers


class _Undone(Exception):
    """Rolls a transaction back that was for show."""


class _Refused(Exception):
    """Rolls back what was done for a letter."""

    def __init__(self, outcome: ReplayOutcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class LetterReplay:
    """A `Replay` to a group that keeps its positions in the database. `numbered`: whether messages' numbers count;
    `actor` is who does it."""

    def __init__(
        self,
        database: Database,
        group: str,
        destinations: Sequence[str],
        limits: ParkingProperties,
        *,
        numbered: bool,
        actor: str,
    ) -> None:
        self._database = database
        self._group = group
        self._destinations = destinations
        self._numbered = numbered
        self._actor = actor
        self._queues = ParkedQueues(database, group, destinations)
        self._parked = ParkedKeys(database, group, limits, numbered=numbered)

    def known(self) -> dict[LetterPlace, str]:
        """As `Replay` says."""
        c = self._database.tables.letter.c
        query = select(c.destination, c.partition, c.offset, c.timestamp_ms, c.outcome)
        query = query.where(c.group_name == self._group)
        return self._database.run(
            lambda connection: {(d, p, o, t): outcome for d, p, o, t, outcome in connection.execute(query)}
        )

    def replay(
        self, letters: Sequence[Letter], *, force: bool = False, dry_run: bool = False
    ) -> list[ReplayOutcome]:
        """As `Replay` says, in one transaction: no worker can handle a later one before an earlier one is there.
        `dry_run`: it is rolled back."""
        outcomes = dict.fromkeys(range(len(letters)), ReplayOutcome.FOREIGN)

        def work(connection: Connection) -> None:
            for index in sorted(range(len(letters)), key=lambda index: _order(letters[index])):
                if (batch := self._batch(letters[index])) is not None:
                    outcomes[index] = self._tried(connection, letters[index], batch, force=force)
            if dry_run:
                raise _Undone

        with contextlib.suppress(_Undone):
            self._database.run_bounded(work)
        return [outcomes[index] for index in range(len(letters))]

    def skip(self, letter: Letter) -> bool:
        """As `Replay` says, in a row that says who decided it."""
        return self._database.run_bounded(lambda connection: self._remember(connection, letter, "skipped"))

    def _tried(self, connection: Connection, letter: Letter, batch: ParkedBatch, *, force: bool) -> ReplayOutcome:
        try:
            with connection.begin_nested():
                return self._replay(connection, letter, batch, force=force)
        except _Refused as refused:
            return refused.outcome
        except MessageFailed:
            return ReplayOutcome.FULL

    def _replay(self, connection: Connection, letter: Letter, batch: ParkedBatch, *, force: bool) -> ReplayOutcome:
        # In the order in which deliveries and workers lock: the key's row, then its number's.
        key = self._database.tables.parked_key
        mine = (key.c.destination == batch.destination, key.c.key == queue_of(batch, 0))
        waits = select(key.c.key).where(key.c.group_name == self._group, *mine)
        connection.execute(self._database.dialect.locked(waits))
        # Two of us cannot both replay it: the second one waits here.
        if not self._remember(connection, letter, "replayed") or self._waits(connection, batch):
            return ReplayOutcome.KNOWN
        if not force and self._replays(connection, batch) > MAX_REPLAYS:
            raise _Refused(ReplayOutcome.LOOPING)
        numbered = event_of(batch, 0) if self._numbered else None
        if numbered is not None and not self._reopened(connection, batch.destination, *numbered):
            if not force:
                raise _Refused(ReplayOutcome.SUPERSEDED)
            batch = self._unnumbered(letter, batch)
        name, text = kept_reason(letter.cause.name or "unknown", letter.cause.text)
        self._parked.park(connection, batch, 0, PermanentError(text))
        queue = batch.destination, queue_of(batch, 0)
        self._queues.wake(connection, queue, error_class=name, error_text=text)
        return ReplayOutcome.REPLAYED

    def _reopened(self, connection: Connection, destination: str, chain: Chain, event: Applied) -> bool:
        """Take back that the event's number was passed over, so that it is the next one; False if later ones have
        been applied. A delivery that holds one finds its predecessor missing, and the key parked."""
        guard = self._database.tables.guard
        mine = (
            guard.c.group_name == self._group,
            guard.c.destination == destination,
            guard.c.source_id == chain.source_id,
            guard.c.key == chain.key,
        )
        row = connection.execute(self._database.dialect.locked(select(guard).where(*mine))).first()
        if row is None:
            return True
        last = Applied(row.epoch, row.seq, row.event_id)
        if last[:2] != event[:2]:
            return last[:2] < event[:2]
        if event.seq <= row.applied_seq or is_other(last, event):
            # It was applied since, by another copy of the letter or by a read model that was built anew; or it is
            # another event under the same number.
            raise _Refused(ReplayOutcome.KNOWN)
        values = {"seq": event.seq - 1, "event_id": None, "updated_ms": self._database.dialect.now_ms}
        connection.execute(update(guard).where(*mine).values(**values))
        return True

    def _batch(self, letter: Letter) -> ParkedBatch | None:
        came, stands = letter.message, letter.stands
        if came.destination is None or came.partition is None or came.offset is None:
            return None
        if came.destination not in self._destinations or letter.group not in (None, self._group):
            return None
        message = ParkedMessage(
            id=0,
            destination=came.destination,
            partition=came.partition,
            offset=came.offset,
            record_key=came.key,
            payload=came.payload,
            headers=store_headers(came.raw_headers),
            timestamp_ms=came.timestamp_ms if came.timestamp_ms is not None else stands.timestamp_ms or 0,
        )
        return ParkedBatch(message)

    def _unnumbered(self, letter: Letter, batch: ParkedBatch) -> ParkedBatch:
        headers = [(name, value) for name, value in letter.message.raw_headers if name != ORIGIN]
        message = ParkedMessage(
            id=0,
            destination=batch.destination,
            partition=batch.partition,
            offset=batch.offset(0),
            record_key=batch.key(0),
            payload=batch.payload(0),
            headers=store_headers(headers),
            timestamp_ms=batch.timestamp_ms(0),
        )
        return ParkedBatch(message)

    def _remember(self, connection: Connection, letter: Letter, outcome: str) -> bool:
        destination, partition, offset, timestamp_ms = place_of(letter)
        came = letter.message
        at_ms = connection.scalar(select(self._database.dialect.now_ms))
        row = {
            "group_name": self._group,
            "destination": destination,
            "partition": partition,
            "offset": offset,
            "timestamp_ms": timestamp_ms,
            "outcome": outcome,
            "from_destination": came.destination if came.destination in self._destinations else "",
            "from_partition": -1 if came.partition is None else came.partition,
            "from_offset": -1 if came.offset is None else came.offset,
            "actor": self._actor,
            "at_ms": at_ms,
        }
        return bool(self._database.dialect.insert_missing(connection, self._database.tables.letter, [row]))

    def _waits(self, connection: Connection, batch: ParkedBatch) -> bool:
        """Whether the message is parked already."""
        parked = self._database.tables.parked.c
        query = select(parked.id).where(
            parked.group_name == self._group,
            parked.destination == batch.destination,
            parked.key == queue_of(batch, 0),
            parked.partition == batch.partition,
            parked.offset == batch.offset(0),
        )
        return connection.execute(query.limit(1)).first() is not None

    def _replays(self, connection: Connection, batch: ParkedBatch) -> int:
        """How often the message was replayed, this time included."""
        table = self._database.tables.letter
        return (
            connection.scalar(
                select(func.count())
                .select_from(table)
                .where(
                    table.c.group_name == self._group,
                    table.c.from_destination == batch.destination,
                    table.c.from_partition == batch.partition,
                    table.c.from_offset == batch.offset(0),
                    table.c.outcome == "replayed",
                )
            )
            or 0
        )


def _order(letter: Letter) -> tuple[bool, int]:
    """Numbers are taken back from the last one on; what has none waits in the order in which it came."""
    offset = letter.message.offset or 0
    origin = origin_of(letter.message.raw_headers)
    return (False, offset) if origin is None else (True, -origin.seq)
