"""Effects in the service's database: exactly once, the position moves in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from streambind.binding.binder import Lane
from streambind.errors import DeliveryError, SequenceGapError, UnfinishedBatchError
from streambind.failpoints import failpoint
from streambind.inbound.dead_letter import DeadLetters
from streambind.inbound.failure import (
    AttemptEnded,
    Fenced,
    MessageFailed,
    NotTogether,
    Overtaken,
    Trouble,
    Unattributed,
)
from streambind.inbound.guard import Examination, SequenceGuard
from streambind.inbound.handler_session import SessionEnded
from streambind.inbound.handling import Handled, Handling, own_statements
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.parked_keys import ParkedKeys, Waiting, queue_of
from streambind.inbound.positions import DatabasePositions, Past, Stretch
from streambind.inbound.statistics import DeliveryStatistics
from streambind.joint_batch import parts_of, place_of
from streambind.message import Batch, Message, boundary
from streambind.persistence.database import Database
from streambind.persistence.failures import is_database_trouble

_log = logging.getLogger(__name__)

T = TypeVar("T")


class _Applied(NamedTuple):
    """How many messages are done, what the guard found of them, how many were set aside, and what became of the
    others."""

    done: int
    found: Examination
    aside: int
    handled: Handled


class DatabaseEffects:
    """A batch, also a joint one, is one transaction: claim of the position, guard, handlers, the position moved by
    compare-and-set, messages of parked keys set aside, guard rows, commit. All of it happens or nothing. Where
    handlers take long, it is a part of the batch, from its front."""

    def __init__(
        self,
        handling: Handling,
        database: Database,
        *,
        positions: DatabasePositions,
        parked: ParkedKeys,
        mass_failure: MassFailure,
        guard: SequenceGuard | None,
        dead_letters: DeadLetters | None,
        statistics: DeliveryStatistics,
        on_commit: Callable[[], None],
        on_parked: Callable[[], None],
    ) -> None:
        self._handling = handling
        self._database = database
        self._positions = positions
        self._parked = parked
        self._mass_failure = mass_failure
        self._guard = guard
        self._dead_letters = dead_letters
        self._statistics = statistics
        self._on_commit = on_commit
        self._on_parked = on_parked

    def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
        applied = self._transaction(lambda connection: self._apply(connection, batch, count, singly=singly))
        failpoint("delivery.after_commit")
        found, aside = applied.found, applied.aside
        stale = len(found.stale)
        self._statistics.count(duplicates=len(found.duplicates) - stale + applied.handled.repeated, stale=stale)
        self._handling.done_unmatched(batch, applied.handled.unmatched)
        for index, last, epoch in found.epochs:
            place = place_of(batch, index)
            _log.warning("%s: epoch %s of its key's source begins after epoch %s", place, epoch, last)
        if aside:
            self._statistics.count(parked=aside)
            self._on_parked()
        self._mass_failure.handled(applied.done - aside)
        self._on_commit()
        return applied.done

    def pass_over(self, batch: Batch, index: int, letter: Message | None) -> None:
        def work(connection: Connection) -> None:
            self._step(connection, batch, index)
            if self._set_aside(connection, batch, self._waiting(connection, batch, [index])):
                return  # Its key was parked meanwhile.
            found = self._examine(connection, batch, [index], passing_over=True)
            self._record(connection, batch, found, passed_over=True)
            # A message that was applied or passed over before, by another owner, has its letter already.
            if letter is not None and self._dead_letters is not None and index not in found.duplicates:
                with own_statements():
                    self._dead_letters.write(connection, letter)
            failpoint("delivery.before_passing_over")

        self._move_past(index, work)
        failpoint("delivery.after_passing_over")
        self._on_commit()

    def park(self, batch: Batch, index: int, error: Exception) -> None:
        def work(connection: Connection) -> None:
            self._step(connection, batch, index)
            with own_statements():
                self._parked.park(connection, batch, index, error)

        self._move_past(index, work)
        failpoint("parking.after_commit")
        self._on_parked()

    def count_failure(self, batch: Batch, index: int, error: Exception) -> bool:
        return self._mass_failure.count_failure(queue_of(batch, index), error)

    def stored(self, lane: Lane) -> int | None:
        return self._transaction(lambda connection: self._positions.stored(connection, lane))

    def _move_past(self, index: int, work: Callable[[Connection], None]) -> None:
        """Move past one message; what is refused then, is refused for that one."""
        try:
            self._transaction(work)
        except Unattributed as refused:
            if isinstance(refused.error, DeliveryError):
                raise MessageFailed(index, refused.error) from refused
            raise Trouble(refused.error) from refused

    def _apply(self, connection: Connection, batch: Batch, count: int, *, singly: bool) -> _Applied:
        stretches = _stretches(batch, 0, count)
        self._claim(connection, stretches)
        waiting = self._waiting(connection, batch, range(count))
        aside = {index for each in waiting for index in each.indexes}
        indexes = [i for i in range(count) if i not in aside] if aside else range(count)
        found = self._examine(connection, batch, indexes)
        failpoint("delivery.after_position")
        handled = self._handling.run(
            connection,
            batch,
            [i for i in indexes if i not in found.duplicates] if found.duplicates else indexes,
            singly=singly,
            claim=_Claim(self._positions, connection, batch, stretches),
            end=count,
        )
        done = handled.done
        if done < count:
            found = self._examine(connection, batch, [i for i in indexes if i < done])
            waiting = [before for each in waiting if (before := each.before(done)).indexes]
        put = self._set_aside(connection, batch, waiting)
        failpoint("delivery.before_numbers")
        self._record(connection, batch, found)
        failpoint("delivery.before_commit")
        return _Applied(done, found, put, handled)

    def _claim(self, connection: Connection, stretches: Sequence[Stretch], *, first: int = 0) -> None:
        """Take the partitions for the length of the transaction; `first` is the index of the first message."""
        # An owner that is stopped in its transaction must not hold up the next one for ever.
        self._database.dialect.limit_waits(connection, self._database.transaction_timeout_ms)
        with own_statements():
            try:
                if not self._positions.claim(connection, *stretches):
                    raise Fenced(stretches)
            except UnfinishedBatchError as error:
                raise MessageFailed(first, error) from error

    def _step(self, connection: Connection, batch: Batch, index: int) -> None:
        """Take the partition, and move past one message."""
        stretches = _stretches(batch, index, index + 1)
        self._claim(connection, stretches, first=index)
        self._positions.move(connection, *stretches)

    def _waiting(self, connection: Connection, batch: Batch, indexes: Iterable[int]) -> list[Waiting]:
        """The messages whose keys are parked."""
        with own_statements():
            return self._parked.waiting(connection, batch, indexes)

    def _set_aside(self, connection: Connection, batch: Batch, waiting: Sequence[Waiting]) -> int:
        """Let them wait behind what waits there already: how many these are."""
        if waiting:
            with own_statements():
                self._parked.set_aside(connection, batch, waiting)
        return sum(len(each.indexes) for each in waiting)

    def _examine(
        self, connection: Connection, batch: Batch, indexes: Sequence[int], *, passing_over: bool = False
    ) -> Examination:
        """Judge the messages by their numbers."""
        if self._guard is None:
            return Examination()

        def past() -> Past:
            if len(parts_of(batch)) > 1:
                raise NotTogether("what a partition may not have seen is asked of each by itself")
            return self._positions.past(connection, Lane(batch.destination, batch.partition))

        try:
            with own_statements():
                return self._guard.examine(connection, batch, indexes, past=past, passing_over=passing_over)
        except MessageFailed as failed:
            # A letter of its key that was replayed since we looked went back to wait: the message waits behind it.
            missing = isinstance(failed.error, SequenceGapError)
            if missing and self._parked.waiting(connection, batch, [failed.index]):
                raise Overtaken("its key was parked meanwhile") from failed
            raise

    def _record(
        self, connection: Connection, batch: Batch, found: Examination, *, passed_over: bool = False
    ) -> None:
        if self._guard is not None:
            with own_statements():
                self._guard.record(connection, batch.destination, found, passed_over=passed_over)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        """
        Raises:
            AttemptEnded: the transaction did not come about; one of its kinds tells why.
        """
        is_through = False

        def tracked(connection: Connection) -> T:
            nonlocal is_through
            result = work(connection)
            is_through = True
            return result

        try:
            return self._database.run(tracked)
        except AttemptEnded:
            raise
        except Exception as error:
            # Refused at the commit: a deferred constraint. Everything else that is not a handler's is trouble.
            if is_through and not is_database_trouble(error) and isinstance(error, DBAPIError):
                raise Unattributed(error) from error
            raise Trouble(error) from error


def _stretches(batch: Batch, start: int, stop: int) -> list[Stretch]:
    """What is to be moved for the messages from `start` to before `stop`; of a joint batch for all of them."""
    parts = parts_of(batch)
    if len(parts) > 1:
        return [Stretch(Lane(batch.destination, p.partition), p.position, p.next_offset) for p in parts]
    return [Stretch(Lane(batch.destination, batch.partition), boundary(batch, start), boundary(batch, stop))]


class _Claim:
    """`handling.Claim` of these stretches."""

    def __init__(
        self, positions: DatabasePositions, connection: Connection, batch: Batch, stretches: Sequence[Stretch]
    ) -> None:
        self._positions = positions
        self._connection = connection
        self._batch = batch
        self._stretches = stretches

    def keep(self, done: int) -> None:
        if done < len(self._batch):
            self._shorten(boundary(self._batch, done))
        # A database gives a transaction up after an error which a handler kept to itself, and would not say so at
        # the commit.
        if not self._positions.move(self._connection, *self._stretches):
            raise SessionEnded

    def _shorten(self, end: int) -> None:
        claimed = self._stretches[0]
        if end != claimed.end:
            if not self._positions.shorten(self._connection, claimed, end):
                raise SessionEnded
            self._stretches = [claimed._replace(end=end)]

    def is_left_behind(self) -> bool:
        lane, _, end = self._stretches[0]
        try:
            return self._positions.claimed_to(self._connection, lane) == end
        except InvalidRequestError:
            return False  # It was rolled back, and that is not over yet.
