"""Attaching capture to a sessionmaker: from then on its sessions write events beside their changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, UOWTransaction

from streambind.configuration.finding import Finding
from streambind.errors import ConfigurationError
from streambind.outbound.capture_check import check
from streambind.outbound.captured_session import captured_session
from streambind.outbound.desk import Desk, desk_of, has_had_desk, set_desk
from streambind.outbound.outbox import Outbox
from streambind.outbound.outer_transaction import follow
from streambind.outbound.outgoing import Outgoing, OutputPlan
from streambind.outbound.plans import Plans
from streambind.outbound.published_tables import PublishedTables
from streambind.outbound.publishes import arm
from streambind.outbound.statement_guard import StatementGuard
from streambind.persistence.database import AnySessions, Database


class Capture:
    """Turns changes of published classes into outbox rows of the same transaction.

    `classes` are the classes marked with `@publishes`, `outputs` the output bindings by name. `wake` is called
    after a commit that wrote rows, `send_after_commit` with the messages of bindings with `publish:
    after-commit`, in order; both on the thread that commits, which they must not hold up. What they raise is
    logged and never reaches the caller. `max_rows`: how many messages may wait in the outbox.

    Constructing it touches nothing; `check()` says what would not work; `attach()` begins.
    """

    def __init__(
        self,
        database: Database,
        classes: Iterable[type],
        *,
        outputs: Mapping[str, OutputPlan],
        wake: Callable[[], None],
        send_after_commit: Callable[[Sequence[Outgoing]], None],
        max_rows: int | None = None,
    ) -> None:
        self._max_rows = max_rows
        self._database = database
        self._plans = Plans(classes, outputs)
        self._wake = wake
        self._send_after_commit = send_after_commit
        self._undo: list[Callable[[], None]] = []

    def check(self, told: Collection[str] = ()) -> list[Finding]:
        """What is wrong with the published classes, all at once. Configures the mappers; connects to nothing."""
        return check(self._database, self._plans, told)

    def attach(self) -> None:
        """Capture the sessions of the database's sessionmaker, those that exist already too (asynchronous ones
        excepted: what those flush raises UncapturedChangeError).

        Raises:
            ConfigurationError: another application captures this sessionmaker.
        """
        sessions = self._database.sessions
        session_class = _session_class(sessions)
        if desk_of(session_class) is not None:
            raise ConfigurationError(
                "this sessionmaker is captured by another StreamApplication already: give each application its own"
            )
        if isinstance(sessions, async_sessionmaker):
            session_class = self._give_own_class(sessions, session_class)
        tables = PublishedTables(self._plans)
        for cls in self._plans.classes:
            arm(cls)
        outbox = Outbox(self._database, max_rows=self._max_rows)
        self._capture(
            session_class,
            Desk(self._database, self._plans, tables, outbox, self._wake, self._send_after_commit),
        )
        guard = StatementGuard(tables)
        guard.attach(self._database.engine)
        self._undo.append(lambda: guard.detach(self._database.engine))
        self._undo.append(follow(self._database.engine))

    def detach(self) -> None:
        """Undo `attach()`. Idempotent."""
        while self._undo:
            self._undo.pop()()

    def _capture(self, session_class: type[Session], desk: Desk) -> None:
        # Once there, the listeners stay and do nothing without a desk: SQLAlchemy before 2.0.37 fails to remove
        # listeners of a class, and takes a new class for an old one of the same id.
        if not has_had_desk(session_class):
            for name, listener in _LISTENERS.items():
                event.listen(session_class, name, listener)
        set_desk(session_class, desk)
        self._undo.append(partial(set_desk, session_class, None))

    def _give_own_class(self, sessions: async_sessionmaker[Any], session_class: type[Session]) -> type[Session]:
        """A session class of this sessionmaker's own: that of other AsyncSessions must not be touched."""
        own: type[Session] = type(session_class.__name__, (session_class,), {})
        before = dict(sessions.kw)
        sessions.kw["sync_session_class"] = own

        def restore() -> None:
            if sessions.kw.get("sync_session_class") is own:
                del sessions.kw["sync_session_class"]
                sessions.kw.update({k: v for k, v in before.items() if k == "sync_session_class"})

        self._undo.append(restore)
        return own


def _session_class(sessions: AnySessions) -> type[Session]:
    if isinstance(sessions, async_sessionmaker):
        chosen: type[Session] = sessions.kw.get("sync_session_class") or sessions.class_.sync_session_class
        return chosen
    # A sessionmaker makes a class of its own, so that listeners on it concern no other session.
    made: type[Session] = sessions.class_
    return made


def _do_orm_execute(state: ORMExecuteState) -> Any | None:
    if not state.is_select and (captured := captured_session(state.session)):
        return captured.execute(state)
    return None


def _before_flush(session: Session, flush: UOWTransaction, _: object) -> None:
    if captured := captured_session(session):
        captured.before_flush(flush)


def _after_flush(session: Session, flush: UOWTransaction) -> None:
    if captured := captured_session(session):
        captured.after_flush(session, flush)


def _after_soft_rollback(session: Session, _: SessionTransaction) -> None:
    if captured := captured_session(session):
        captured.flush_failed()


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.parent is None and (captured := captured_session(session)):
        captured.connected(connection)


def _before_commit(session: Session) -> None:
    if captured := captured_session(session):
        captured.before_commit(session)


def _after_commit(session: Session) -> None:
    if captured := captured_session(session):
        captured.after_commit(session)


def _after_transaction_create(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested and (captured := captured_session(session)):
        captured.savepoint_begun(transaction)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if captured := captured_session(session):
        captured.ended(transaction)


_LISTENERS: dict[str, Callable[..., Any]] = {
    "do_orm_execute": _do_orm_execute,
    "before_flush": _before_flush,
    "after_flush": _after_flush,
    "after_soft_rollback": _after_soft_rollback,
    "after_begin": _after_begin,
    "before_commit": _before_commit,
    "after_commit": _after_commit,
    "after_transaction_create": _after_transaction_create,
    "after_transaction_end": _after_transaction_end,
}
