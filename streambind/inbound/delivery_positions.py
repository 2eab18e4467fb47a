"""Effects in the service's database: exactly once, the position moves in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from streambind.binding.binder import Lane
from streambind.errors import DeliveryError
from streambind.failpoints import FailpointError, failpoint
from streambind.inbound.cause import MessageCause
from streambind.inbound.dispatcher import Dispatcher
from streambind.inbound.failure import AttemptEnded, Fenced, MessageFailed, Trouble, Unattributed
from streambind.inbound.guard import Examination, SequenceGuard
from streambind.inbound.handler_session import HandlerSession, SessionEnded
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.replies import Replies
from streambind.inbound.statistics import DeliveryStatistics
from streambind.message import Batch, boundary
from streambind.persistence.database import Database
from streambind.persistence.failures import describe, is_database_trouble, is_refusal
from streambind.route import CAUSE

_log = logging.getLogger(__name__)

T = TypeVar("T")


class DatabaseEffects:
    """A batch is one transaction: position by compare-and-set, guard, handlers, guard rows, commit. All of it
    happens or nothing."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        database: Database,
        *,
        positions: DatabasePositions,
        guard: SequenceGuard | None,
        replies: Replies | None,
        statistics: DeliveryStatistics,
        on_commit: Callable[[], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._database = database
        self._positions = positions
        self._guard = guard
        self._replies = replies
        self._statistics = statistics
        self._on_commit = on_commit
        self._savepoints = False

    def apply(self, batch: Batch, count: int, *, singly: bool) -> None:
        found = self._transaction(lambda connection: self._apply(connection, batch, count, singly=singly))
        failpoint("delivery.after_commit")
        stale = len(found.stale)
        self._statistics.count(duplicates=len(found.duplicates) - stale, stale=stale)
        for index, last, epoch in found.epochs:
            place = f"{batch.destination}[{batch.partition}]@{batch.offset(index)}"
            _log.warning("%s: epoch %s of its key's source begins after epoch %s", place, epoch, last)
        self._on_commit()

    def pass_over(self, batch: Batch, index: int) -> None:
        def work(connection: Connection) -> None:
            found = self._begin(connection, batch, index, index + 1, passing_over=True)
            self._record(connection, batch, found)

        try:
            self._transaction(work)
        except Unattributed as refused:
            if isinstance(refused.error, DeliveryError):
                raise MessageFailed(index, refused.error) from refused
            raise Trouble(refused.error) from refused

    def stored(self, lane: Lane) -> int | None:
        return self._transaction(lambda connection: self._positions.stored(connection, lane))

    def _apply(self, connection: Connection, batch: Batch, count: int, *, singly: bool) -> Examination:
        found = self._begin(connection, batch, 0, count)
        failpoint("delivery.after_position")
        indexes = [i for i in range(count) if i not in found.duplicates] if found.duplicates else range(count)
        self._handle(connection, batch, count, indexes, singly=singly)
        self._record(connection, batch, found)
        failpoint("delivery.before_commit")
        return found

    def _begin(
        self, connection: Connection, batch: Batch, start: int, stop: int, *, passing_over: bool = False
    ) -> Examination:
        """Take the partition for the length of the transaction, and judge the messages from start to stop."""
        lane = Lane(batch.destination, batch.partition)
        # An owner that is stopped in its transaction must not hold up the next one for ever.
        self._database.dialect.limit_waits(connection, self._database.transaction_timeout_ms)
        with _own_statements():
            if not self._positions.move(connection, lane, boundary(batch, start), boundary(batch, stop)):
                raise Fenced(lane)
            if self._guard is None:
                return Examination()
            return self._guard.examine(
                connection,
                batch,
                range(start, stop),
                past=lambda: self._positions.past(connection, lane),
                passing_over=passing_over,
            )

    def _record(self, connection: Connection, batch: Batch, found: Examination) -> None:
        if self._guard is not None:
            with _own_statements():
                self._guard.record(connection, batch.destination, found)

    def _handle(
        self, connection: Connection, batch: Batch, count: int, indexes: Sequence[int], *, singly: bool
    ) -> None:
        """Run the handlers, and attribute what is raised to the messages at work, or to the database."""
        sessions = HandlerSession(self._database, connection, savepoints=singly or self._savepoints)
        sessions.session.info[CAUSE] = cause = MessageCause(batch)
        unit: Sequence[int] = ()
        first = True
        try:
            for unit in self._dispatcher.units(indexes, singly=singly):
                cause.unit = unit
                for reply in self._dispatcher.handle(batch, unit, sessions.given):
                    if self._replies is not None:
                        self._replies.publish(sessions.session, reply)
                if first:
                    first = False
                    failpoint("delivery.in_handler")
                sessions.end_of_handler()
            unit = ()
            sessions.end_of_batch()
            self._check_position(connection, batch, count)
        except (AttemptEnded, FailpointError):
            raise
        except Exception as error:
            raise self._blamed(error, sessions, unit) from error
        finally:
            sessions.close()

    def _check_position(self, connection: Connection, batch: Batch, count: int) -> None:
        """Whether the transaction is still the one that moved the position. A database that gave it up after an
        error which a handler kept to itself says so here; at the commit, PostgreSQL would not."""
        stored = self._positions.stored(connection, Lane(batch.destination, batch.partition))
        if stored != boundary(batch, count):
            raise SessionEnded

    def _blamed(self, error: Exception, sessions: HandlerSession, unit: Sequence[int]) -> AttemptEnded:
        if sessions.is_lost or is_database_trouble(error):
            return Trouble(error)
        if sessions.is_ended:
            # From now on each handler gets a savepoint, in which it may roll back and close as it likes.
            self._savepoints = True
            if isinstance(error, InvalidRequestError | SessionEnded):
                return Unattributed(error)
        return MessageFailed(unit[0], error) if len(unit) == 1 else Unattributed(error)

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
        except (AttemptEnded, FailpointError):
            raise
        except Exception as error:
            # Refused at the commit: a deferred constraint. Everything else that is not a handler's is trouble.
            if is_through and not is_database_trouble(error) and isinstance(error, DBAPIError):
                raise Unattributed(error) from error
            raise Trouble(error) from error


@contextmanager
def _own_statements() -> Iterator[None]:
    """What the database refuses of the position and the guard it refuses for a message: its partition stops."""
    try:
        yield
    except DBAPIError as error:
        if not is_refusal(error):
            raise
        raise Unattributed(DeliveryError(f"its position or number cannot be kept: {describe(error)}")) from error
