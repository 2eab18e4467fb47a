"""The session that handlers get: part of a transaction that is not theirs to end."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from streambind.errors import PermanentError
from streambind.inbound.leftovers import Leftovers
from streambind.inbound.watched_sessions import WatchedSessions, unwatch, watch
from streambind.persistence.failures import state_of

_ABORTED = "25P02"


class SessionEnded(Exception):
    """A handler rolled back or closed its session where that undoes more than its own work."""

    def __init__(self) -> None:
        super().__init__("a handler rolled back or closed its session")


class HandlerSession:
    """A session of the service's own sessionmaker, joined to the transaction of a batch.

    `commit()` in a handler flushes and ends the session's own transaction, not the batch's. For `rollback()` and
    `close()` there are two ways. Without savepoints, one session serves the whole batch, and either is reported
    by `end_of_handler`: the batch is done again. With `savepoints`, each handler works in a savepoint, and either
    undoes what the handler did since it began or last committed. Without them, `waits` lets new objects wait to
    be written.
    """

    def __init__(
        self,
        sessions: WatchedSessions,
        connection: Connection,
        *,
        savepoints: bool,
        waits: bool = False,
    ) -> None:
        self._connection = connection
        self._savepoints = savepoints
        self._committed = False
        self.is_ended = False
        """Whether a handler rolled back or closed the session, to the loss of others' work."""
        mode = "create_savepoint" if savepoints else "rollback_only"
        settings: dict[str, Any] = {"join_transaction_mode": mode, "autobegin": True, "twophase": False}
        self.given = sessions(connection, **settings)
        self.session = session_of(self.given)
        if not savepoints:
            watch(self.session, after_commit=self._after_commit, after_transaction_end=self._after_end)
        self._leftovers: Leftovers | None = None
        if waits and not savepoints:
            self._leftovers = Leftovers(self.session, connection)

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke; whatever was raised then is not the handler's."""
        return self._connection.invalidated

    @property
    def may_be_of_others(self) -> bool:
        """Whether what was raised may come of what earlier handlers have left to be written."""
        left = self._leftovers
        return left is not None and left.is_any and (left.is_refused or not self.session.is_active)

    def end_of_handler(self) -> None:
        """A handler has returned: write what it left to be written, if that may not wait.

        Raises:
            SessionEnded: the handler has undone the work of others too.
            PermanentError: the handler caught a database error that had ended its transaction.
            OthersWait, Exception: what it left, or earlier ones, cannot be written.
        """
        if self._leftovers is not None and self._leftovers.is_lost:
            self.is_ended = True
        if self.is_ended:
            raise SessionEnded
        try:
            if self._savepoints:
                self.session.commit()
            elif self._leftovers is not None:
                self._leftovers.end_of_handler()
            else:
                self.session.flush()
        except PendingRollbackError as error:
            raise _kept_to_itself() from error
        except DBAPIError as error:
            if state_of(error) == _ABORTED:
                raise _kept_to_itself() from error
            raise

    def end_of_batch(self) -> None:
        """Write what has waited, and let the session's own hooks see a commit; the one that counts follows."""
        if self._leftovers is not None:
            self._leftovers.write()
        self.session.commit()

    def close(self) -> None:
        self.session.close()
        unwatch(self.session)

    def _after_commit(self, session: Session) -> None:
        self._committed = True

    def _after_end(self, session: Session, transaction: SessionTransaction) -> None:
        # A commit says so first; rollback() and close() only end.
        if transaction.parent is None and not self._committed:
            self.is_ended = True
        if transaction.parent is None or transaction.nested:
            self._committed = False


def session_of(given: Session | AsyncSession) -> Session:
    """The synchronous session that a handler's is, or holds."""
    return given.sync_session if isinstance(given, AsyncSession) else given


def _kept_to_itself() -> PermanentError:
    return PermanentError(
        "the handler returned although a database error that it caught had ended its transaction; "
        "where an error is expected, write `with session.begin_nested():` around the statement"
    )
