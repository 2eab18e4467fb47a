"""New objects that handlers leave in their session: what comes after writes them, many rows by one statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, object_mapper

from streambind.inbound.watched_sessions import watch


class OthersWait(Exception):
    """What earlier handlers left cannot be written without what the handler at work has not asked to write."""

    def __init__(self) -> None:
        super().__init__(
            "new objects of earlier messages are to be written, and with them would be unfinished ones"
        )


class Leftovers:
    """The new objects that handlers of a batch have added to their session and that are not written yet.

    They wait for those of the handlers that follow, until a statement is executed that might have to see them, and
    at the latest for the end of the batch. Changes and deletions do not wait, nor do objects whose mapper has
    listeners for inserts, as all that are published have: a handler may throw them away without a word to us
    (`expire_all`), or what is made of them needs its order and its message.

    A flush writes all that a session holds, but a handler decides itself when its own objects are written. So a
    statement that a handler executes while it has some that are not (without autoflush, or by Core) raises
    OthersWait, and the batch is to be done again without waiting.
    """

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._handlers = 0
        self._waiting: dict[int, int] = {}
        """By the object's id, which handler left it, in their order."""
        self._is_urgent = False
        self._is_flushing = False
        self.is_any = False
        """Whether something waited when the handler began that is at work now."""
        self.is_refused = False
        """Whether they could not be written, at any time."""
        self.is_lost = False
        """Whether a handler threw away what another has left."""
        watch(
            session,
            transient_to_pending=self._added,
            pending_to_persistent=self._written,
            pending_to_transient=self._thrown_away,
            before_flush=self._flush_begins,
            after_flush_postexec=self._flush_ends,  # Listeners of `after_flush`, too, are part of it.
        )
        event.listen(connection, "before_cursor_execute", self._before_statement)
        event.listen(connection, "savepoint", self._before_statement)  # Its rollback would take them along.

    def end_of_handler(self) -> None:
        """Write what may not wait.

        Raises:
            OthersWait: what earlier handlers left could not be written, and this one has kept that to itself.
        """
        self._is_flushing = False  # One that failed has not said so.
        if self.is_refused:
            raise OthersWait
        if self._is_urgent or self._session.dirty or self._session.deleted:
            self.write()
        self._is_urgent = False
        self._handlers += 1
        self.is_any = len(self._waiting) > 0

    def write(self) -> None:
        """Write all that waits."""
        try:
            self._session.flush()
        except BaseException:
            self.is_refused = True
            raise

    def _added(self, session: Session, each: object) -> None:
        self._waiting[id(each)] = self._handlers
        hooks = object_mapper(each).dispatch
        self._is_urgent = self._is_urgent or bool(hooks.before_insert or hooks.after_insert)

    def _written(self, session: Session, each: object) -> None:
        self._waiting.pop(id(each), None)

    def _thrown_away(self, session: Session, each: object) -> None:
        left_by = self._waiting.pop(id(each), self._handlers)
        self.is_lost = self.is_lost or left_by < self._handlers

    def _flush_begins(self, *_: Any) -> None:
        self._is_flushing = True

    def _flush_ends(self, *_: Any) -> None:
        self._is_flushing = False

    def _before_statement(self, *_: Any) -> None:
        """Only the ORM's own statements flush before."""
        if not self._waiting or self._is_flushing or next(iter(self._waiting.values())) == self._handlers:
            return
        has_own = next(reversed(self._waiting.values())) == self._handlers
        if has_own or self._session.dirty or self._session.deleted:
            self.is_refused = True
            raise OthersWait
        self.write()
