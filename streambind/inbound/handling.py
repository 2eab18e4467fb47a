"""Handlers at work in a transaction that is not theirs to end, and who is to blame when one raises."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from streambind.errors import DeliveryError, UnfinishedBatchError
from streambind.failpoints import failpoint
from streambind.inbound.cause import MessageCause
from streambind.inbound.caution import Caution
from streambind.inbound.dispatcher import Dispatcher
from streambind.inbound.failure import AttemptEnded, MessageFailed, TooLong, Trouble, Unattributed
from streambind.inbound.handler_session import HandlerSession, SessionEnded
from streambind.inbound.inbox import Inbox
from streambind.inbound.nobodys_fault import is_defect, is_nobodys_fault
from streambind.inbound.replies import Replies
from streambind.inbound.watched_sessions import WatchedSessions
from streambind.joint_batch import parts_of, place_of
from streambind.message import Batch
from streambind.persistence.database import Database
from streambind.persistence.failures import describe, is_refusal
from streambind.route import CAUSE

_log = logging.getLogger(__name__)


class Claim(Protocol):
    """What a transaction has claimed of a partition."""

    def keep(self, done: int) -> None:
        """Move the position past the first `done` messages of the batch, which may be fewer than were claimed.

        Raises:
            SessionEnded: the transaction is no longer the one that made the claim.
        """
        ...

    def is_left_behind(self) -> bool:
        """Whether the claim is there although its transaction has ended: then it was committed."""
        ...


class Handled(NamedTuple):
    """How many messages from the front of the batch are through, how many of these were seen before, by their ids,
    and passed over, and which of them no listener took."""

    done: int
    repeated: int
    unmatched: Sequence[int]


class Handling:
    """The handlers of one binding whose effects go to the database, and their replies. Called from any thread."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        database: Database,
        *,
        replies: Replies | None,
        inbox: Inbox | None = None,
        commit_after_ms: int | None = None,
    ) -> None:
        """`commit_after_ms`: once it has passed, a claim is kept with what is handled by then."""
        self._dispatcher = dispatcher
        self._sessions = WatchedSessions(database)
        self._replies = replies
        self._inbox = inbox
        self._commit_after_s = None if commit_after_ms is None else commit_after_ms / 1000
        self._written_at_once = Caution()
        """Whether new objects may not wait to be written."""
        self._savepoints = Caution()
        self._suspected: tuple[str, int, int] | None = None

    def run(
        self,
        connection: Connection,
        batch: Batch,
        indexes: Sequence[int],
        *,
        singly: bool,
        claim: Claim | None = None,
        end: int | None = None,
    ) -> Handled:
        """Handle these messages, which are all that is to be handled of those before `end`, and keep the claim
        that the transaction began with: to the end, or, where it takes long, as far as they are handled.

        Raises:
            MessageFailed, Unattributed: a message is to blame.
            Trouble: none is.
        """
        given, end = indexes, indexes[-1] + 1 if end is None else end
        if self._inbox is not None:
            with own_statements():
                indexes = self._inbox.first_times(connection, batch, indexes)
        sessions = HandlerSession(
            self._sessions,
            connection,
            savepoints=singly or self._savepoints.is_due,
            waits=not self._written_at_once.is_due and len(indexes) > 1,
        )
        sessions.session.info[CAUSE] = cause = MessageCause(batch)
        unit: Sequence[int] = ()
        unmatched: list[int] = []
        first, outer = True, connection.get_transaction()
        late = None if claim is None or self._commit_after_s is None else time.monotonic() + self._commit_after_s
        try:
            for unit in self._dispatcher.units(indexes, singly=singly):
                cause.unit = unit
                for reply in self._dispatcher.handle(batch, unit, sessions.given, unmatched):
                    if self._replies is not None:
                        self._replies.publish(sessions.session, reply)
                if first:
                    first = False
                    failpoint("delivery.in_handler")
                sessions.end_of_handler()
                if connection.get_transaction() is not outer and claim is not None and claim.is_left_behind():
                    raise _committed_by_handler(batch, unit)
                if late is not None and time.monotonic() > late and unit[-1] != indexes[-1]:
                    end = unit[-1] + 1
                    indexes = self._cut(connection, batch, indexes, end)
                    break
            unit, cause.unit = (), indexes
            sessions.end_of_batch()
            if claim is not None:
                claim.keep(end)
        except AttemptEnded:
            raise
        except Exception as error:
            raise self._blamed(error, batch, sessions, unit) from error
        finally:
            sessions.close()
        if singly:
            self._cleared(batch)
        else:
            self._savepoints.passed()
            self._written_at_once.passed()
        return Handled(end, sum(index < end for index in given) - len(indexes), unmatched)

    def done_unmatched(self, batch: Batch, indexes: Sequence[int]) -> None:
        """As `Dispatcher` says, once the transaction is committed."""
        self._dispatcher.done_unmatched(batch, indexes)

    def _cut(self, connection: Connection, batch: Batch, indexes: Sequence[int], end: int) -> Sequence[int]:
        """Those before `end`; the others have not been here.

        Raises:
            TooLong: it is a joint batch, which is handled as a whole or not at all.
        """
        if len(parts_of(batch)) > 1:
            raise TooLong("its handlers take long")
        later = [index for index in indexes if index >= end]
        if self._inbox is not None:
            with own_statements():
                self._inbox.forget(connection, batch, later)
        return indexes[: len(indexes) - len(later)]

    def _blamed(
        self, error: Exception, batch: Batch, sessions: HandlerSession, unit: Sequence[int]
    ) -> AttemptEnded:
        if sessions.is_lost or is_nobodys_fault(error):
            return Trouble(error)
        if sessions.is_ended:
            # For a while each handler gets a savepoint, in which it may roll back and close as it likes.
            self._savepoints.learn()
            if isinstance(error, InvalidRequestError | SessionEnded):
                return Unattributed(error)
        self._suspected = None
        if sessions.may_be_of_others:
            self._suspected = _place(batch)
            return Unattributed(error)
        return MessageFailed(unit[0], error) if len(unit) == 1 else Unattributed(error)

    def _cleared(self, batch: Batch) -> None:
        """Each message went well by itself. If the batch had failed because new objects had waited to be written,
        that would happen again: for want of a relationship() nobody knows that one has to come before another, or
        the handlers execute statements before their own objects are written."""
        if self._suspected == _place(batch):
            _log.info("new objects do not wait to be written for a while: together they failed, one by one not")
            self._written_at_once.learn()
            self._suspected = None


def _place(batch: Batch) -> tuple[str, int, int]:
    return batch.destination, batch.partition, batch.position


def _committed_by_handler(batch: Batch, unit: Sequence[int]) -> MessageFailed:
    text = (
        f"the handler of {place_of(batch, unit[-1])} has ended the transaction by itself, with "
        "session.connection().commit() or the like, and with it what was done before: session.commit() is what a "
        "handler may call"
    )
    _log.error("%s", text)
    return MessageFailed(unit[0], UnfinishedBatchError(text))


@contextmanager
def own_statements() -> Iterator[None]:
    """What the database refuses of positions, numbers and parked messages it refuses for a message, which may not
    be passed over. A defect of ours that a message brings to light is that message's failure too: it shall not
    hold up all others."""
    try:
        yield
    except AttemptEnded:
        raise
    except DBAPIError as error:
        if not is_refusal(error):
            raise
        text = f"its position, its number or itself cannot be kept: {describe(error)}"
        raise Unattributed(DeliveryError(text)) from error
    except Exception as error:
        if not is_defect(error):
            raise
        raise Unattributed(error) from error
