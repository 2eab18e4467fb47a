"""What capture keeps of one session: the changes of the flush that runs, and what waits for the commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, SessionTransaction, UOWTransaction

from streambind.configuration.masking import shown_url
from streambind.configuration.properties import Publish
from streambind.errors import CaptureError
from streambind.failpoints import failpoint
from streambind.outbound.bulk import bulk_statement
from streambind.outbound.desk import Desk, desk_of
from streambind.outbound.event_ids import event_ids
from streambind.outbound.flush_changes import FlushChanges
from streambind.outbound.outer_transaction import hold
from streambind.outbound.outgoing import Outgoing, OutputPlan, led_to
from streambind.outbound.permits import Permits, enter, leave, permits_of
from streambind.route import CAUSE, Cause

log = logging.getLogger("streambind.capture")

_INFO = "streambind.captured_session"


class CapturedSession:
    """The capture of one session; used where the session is used, by one thread or task at a time.

    `pending` are messages of `publish()` that no flush has written yet. They belong to the innermost
    transaction: they are written before a savepoint begins and before it is released. `unsent` are messages
    that go out after the commit; each savepoint remembers how many there were when it began.
    """

    def __init__(self, desk: Desk, permits: Permits) -> None:
        self.changes = FlushChanges(desk.plans)
        self.desk = desk
        self._permits = permits
        self._connections: list[Connection] = []
        self._pending: list[Outgoing] = []
        self._unsent: list[Outgoing] = []
        self._savepoints: dict[SessionTransaction, int] = {}
        self._committing = False
        self._rows_written = False
        self._broken: SessionTransaction | None = None

    @property
    def is_suppressed(self) -> bool:
        """Whether `suppress_events` is open for the session."""
        return self._permits.suppressed > 0

    # Flush

    def before_flush(self, flush: UOWTransaction) -> None:
        self.changes.begin(flush)
        self._permits.flush = flush

    def after_flush(self, session: Session, flush: UOWTransaction) -> None:
        """Write the events of the flush, behind what was published before it.

        Raises:
            CaptureError: a change cannot become an event; the flush fails and the transaction with it.
            EncodeError: an event cannot be encoded, or is too large.
        """
        self._permits.flush = None
        changes = self.changes.take(session, flush)
        self.changes.clear()
        ids = event_ids(len(changes))
        messages = [message for plan, change in changes for message in plan.messages(change, ids)]
        self.write(session, messages, changes[0][0].mapper if changes else None)

    def flush_failed(self) -> None:
        """Something was rolled back: no flush runs any more, and what one has changed is not so."""
        self._permits.flush = None
        self.changes.clear()
        self.changes.read_back.forget()

    # Writing

    def execute(self, state: ORMExecuteState) -> Any | None:
        """Capture a statement of `session.execute`; returns its result, None if it is not to be captured.

        Raises:
            CaptureError: the statement changes published rows, and they cannot become events.
            EncodeError: an event cannot be encoded, or is too large.
        """
        self.changes.read_back.forget()  # A text may call what changes rows.
        if self.is_suppressed or not state.statement.is_dml:
            return None
        bulk = bulk_statement(state, self.desk.plans, self.desk.tables)
        if bulk is None:
            return None
        try:
            result, messages = bulk.execute()
            self.write(state.session, messages, bulk.mapper)
        except Exception:
            if bulk.executed:
                self._break(state.session)
            raise
        finally:
            self.changes.read_back.forget()  # What has been flushed before the statement may be changed by it.
        return result

    def output(self, binding: str) -> OutputPlan:
        """
        Raises:
            CaptureError: the application has no such output.
        """
        return self.desk.plans.output(binding)

    def publish(self, session: Session, message: Outgoing) -> None:
        """Keep a message for the next flush or the commit; in the middle of a commit, write it at once: there may
        be no further flush.

        Raises:
            CaptureError: the session's transaction has ended or failed.
        """
        if not session.is_active:
            raise CaptureError(
                f"publish() to {message.binding}: the session's transaction has ended or must be rolled back; "
                "publish before it commits"
            )
        if not session.in_transaction():
            if not session.autobegin:
                raise CaptureError(f"publish() to {message.binding}: begin the session's transaction first")
            session.begin()
        self._pending += self._led_to(session, [message])
        if self._committing:
            self.write(session)

    def write(
        self, session: Session, messages: Sequence[Outgoing] = (), mapper: Mapper[Any] | None = None
    ) -> None:
        """Write pending messages, then these, within the session's transaction."""
        if self._pending or messages:
            try:
                messages = self._led_to(session, messages)
                self._write(self._connection(session, mapper), messages)
            except Exception:
                self._break(session)
                raise

    def _led_to(self, session: Session, messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """In a handler's session: with the route of what it handles."""
        cause: Cause | None = session.info.get(CAUSE)
        if cause is None or not messages:
            return messages
        route, outputs = cause.route(), self.desk.plans.outputs
        return [led_to(outputs[message.binding], message, route) for message in messages]

    def _break(self, session: Session) -> None:
        """Not to be committed: unlike a flush that fails, a statement that does leaves the transaction open, and
        who catches the error could commit rows without their events."""
        self._broken = session.get_nested_transaction() or session.get_transaction()

    def _write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        desk = self.desk
        if connection.engine.pool is not desk.database.engine.pool:
            raise CaptureError(
                f"a published change in {shown_url(connection.engine.url)}, but streambind's outbox is in "
                f"{shown_url(desk.database.engine.url)}: they can only commit together in one database. Bind "
                "the session's classes to the engine of the sessionmaker that the application was given"
            )
        if self._pending:
            messages = [*self._pending, *messages]
            self._pending.clear()
        outputs = desk.plans.outputs
        rows: Sequence[Outgoing] = messages
        if any(outputs[binding].publish is not Publish.OUTBOX for binding in {m.binding for m in messages}):
            rows = [m for m in messages if outputs[m.binding].publish is Publish.OUTBOX]
            self._unsent.extend(m for m in messages if outputs[m.binding].publish is not Publish.OUTBOX)
        if rows:
            failpoint("capture.before_rows")
            desk.outbox.write(connection, rows)
            self._rows_written = True
            failpoint("capture.after_rows")

    def _connection(self, session: Session, mapper: Mapper[Any] | None) -> Connection:
        mapper = mapper or self.desk.plans.any_mapper()
        try:
            return session.connection(bind_arguments={"mapper": mapper} if mapper else None)
        except UnboundExecutionError:
            return session.connection(bind_arguments={"bind": self.desk.database.engine})

    # Transactions

    def connected(self, connection: Connection) -> None:
        """The session's transaction has got a connection."""
        self._connections.append(connection)
        enter(connection, self._permits)

    def savepoint_begun(self, savepoint: SessionTransaction) -> None:
        """Write what was published before it outside of it, through the connection of the transaction around:
        the session's own would begin the savepoint first."""
        parent = savepoint.parent
        if self._pending and parent is not None:
            try:
                self._write(parent.connection(self.desk.plans.any_mapper()), ())
            except Exception:
                self._broken = parent
                raise
        self._savepoints[savepoint] = len(self._unsent)

    def before_commit(self, session: Session) -> None:
        """Before the last flush of a transaction or a savepoint.

        Raises:
            CaptureError: events could not be made or written, and somebody caught the error that said so.
        """
        if self._broken is not None:
            raise CaptureError(
                "events of this transaction could not be made or written, so it cannot commit: roll it back, or "
                "the savepoint in which the error came"
            )
        self._committing = True
        self.write(session)

    def after_commit(self, session: Session) -> None:
        """Wake the relay and send, if this was the commit of the whole transaction. Never raises: the caller's
        data is committed."""
        self._committing = False
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            self._savepoints.pop(savepoint, None)
            return
        if not self._unsent and not self._rows_written:
            return
        unsent, self._unsent = self._unsent, []
        try:
            failpoint("capture.after_commit")
            outer = next((c for c in self._connections if c.in_transaction()), None)
            if outer is None:
                self.desk.committed(unsent)
            else:
                hold(outer, unsent, self.desk.committed)
        except Exception:
            log.exception("after the commit: the transaction is committed all the same")

    def ended(self, transaction: SessionTransaction) -> None:
        """A transaction or a savepoint is over, however it ended; its flushes come here too."""
        if transaction is self._broken:
            self._broken = None
        if transaction.nested:
            mark = self._savepoints.pop(transaction, None)
            if mark is not None:
                # Not released: what happened inside did not happen.
                del self._unsent[mark:]
                self._pending.clear()
                self._committing = False
        elif transaction.parent is None:
            for connection in self._connections:
                leave(connection, self._permits)
            self._connections.clear()
            self.changes.clear()
            self.changes.read_back.forget()
            self._pending.clear()
            self._unsent.clear()
            self._savepoints.clear()
            self._committing = self._rows_written = False
            self._broken = self._permits.flush = None


def captured_session(session: Session) -> CapturedSession | None:
    """The capture of a session, made on first use; None if no application captures it."""
    desk = desk_of(type(session))
    if desk is None:
        return None
    found: CapturedSession | None = session.info.get(_INFO)
    if found is None or found.desk is not desk:
        found = session.info[_INFO] = CapturedSession(desk, permits_of(session))
    return found
