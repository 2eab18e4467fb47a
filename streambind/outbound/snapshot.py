"""The current rows of a published class as events, so that a new read model can begin.

Chunks in the order of the primary key, each in a transaction of its own: rows are locked as a change would lock
them, become events with the next number of their key, and go into the outbox together with the place that was
reached. A writer of a row waits for its chunk, or is waited for, so that a key's events have the order of its
commits, those of the snapshot included; and whatever dies, nothing is repeated or left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from streambind.errors import ConfigurationError, LifecycleError, OutboxFullError
from streambind.event import JobType
from streambind.failpoints import failpoint
from streambind.outbound.captured_session import CapturedSession, captured_session
from streambind.outbound.outbox_status import count_rows, is_relayed
from streambind.outbound.snapshot_rows import Key, SnapshotRows, key_text, read_key, rows_of
from streambind.persistence.database import Database
from streambind.persistence.failures import (
    LOCK_TIMEOUT,
    describe,
    fault_in_statement,
    is_database_trouble,
    state_of,
)

MAX_BACKLOG = 5_000
"""How many messages may wait in the outbox: what is committed meanwhile is sent behind them."""

_IN_THE_WAY = frozenset({LOCK_TIMEOUT, "40P01", "40001"})
"""SQLSTATE: lock not available, deadlock, serialization failure."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a snapshot is. `of` names the class that it is at, `after` the last primary key there (as text),
    None before the first; `rows` and `events` count since it began."""

    snapshot: UUID
    of: str
    after: str | None
    where: str | None
    job: JobType
    rows: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What a step has come to: the place reached, `done` once nothing is left; or why it did nothing for now."""

    place: Place | None
    done: bool = False
    waits: str | None = None


class Snapshot:
    """The snapshot of one output binding of an application whose sessions are captured. May be taken by several
    processes at once: their chunks take turns.

    Raises:
        ConfigurationError: nothing is published to the binding.
    """

    def __init__(self, database: Database, binding: str, *, where: str | None = None, chunk: int = 500) -> None:
        self._database = database
        self._table = database.tables.snapshot
        self._binding = binding
        self._where = where
        self._chunk = self._most = chunk
        self._rows: list[SnapshotRows] = database.run_session(
            lambda session, _: published_rows(session, binding, where=where)
        )
        if not self._rows:
            raise ConfigurationError(f"no class is published to {binding}: there is nothing to take a snapshot of")

    def count(self) -> dict[str, int]:
        """How many rows there are now, by class.

        Raises:
            ConfigurationError: `where` is no condition on the rows of one of them.
        """
        return {each.name: self._count(each) for each in self._rows}

    def _count(self, rows: SnapshotRows) -> int:
        try:
            return self._database.run_session(lambda session, _: rows.count(session))
        except DBAPIError as error:
            if self._where is None or is_database_trouble(error):
                raise
            self._database.run_session(lambda session, _: rows.count(session, all_of_them=True))
            raise ConfigurationError(
                f"the database does not take {self._where!r} as a condition on rows of {rows.name}: "
                f"{fault_in_statement(error)}; its columns are: {', '.join(rows.columns)}"
            ) from error

    def unfinished(self) -> Place | None:
        """The place of the snapshot that was begun and has not come to its end."""
        return self._database.run(self._place)

    def begin(self, job: JobType, *, anew: bool = False) -> Place:
        """Go on with the unfinished snapshot, or begin one; `anew`: in any case.

        Raises:
            LifecycleError: the unfinished one is of other rows.
        """

        def work(connection: Connection) -> Place:
            found = None if anew else self._place(connection)
            if found is not None:
                if (found.where, found.job) != (self._where, job):
                    raise LifecycleError(
                        f"binding {self._binding}: an unfinished snapshot has --where {found.where or 'nothing'} "
                        f"and --job-type {found.job}: finish it with the same, or begin anew with --restart"
                    )
                return found
            place = Place(uuid.uuid4(), self._rows[0].name, None, self._where, job)
            connection.execute(delete(self._table).where(self._mine))
            connection.execute(insert(self._table).values(binding=self._binding, **self._values(place)))
            return place

        return self._database.run(work)

    def abandon(self) -> bool:
        """Forget the unfinished snapshot; what it has sent stays sent. False if there is none."""
        return self._database.run(lambda c: c.execute(delete(self._table).where(self._mine)).rowcount == 1)

    def step(self, snapshot: UUID) -> Step:
        """The next chunk. Where writers are in the way it does nothing, and the next one is smaller.

        Raises:
            LifecycleError: somebody has begun another snapshot.
            CaptureError, EncodeError: a row cannot become an event.
            SQLAlchemyError: the database is away.
        """
        try:
            step = self._database.run_session(lambda session, _: self._taken(session, snapshot))
        except OutboxFullError as full:
            return Step(None, waits=str(full))
        except Exception as error:
            if not gave_way(error):
                raise
            self._chunk = max(1, self._chunk // 4)
            return Step(None, waits=f"rows are being written: {describe(error)}")
        self._chunk = min(self._most, self._chunk * 2)
        if step.waits is None:
            failpoint("snapshot.after_commit")
        return step

    def _taken(self, session: Session, snapshot: UUID) -> Step:
        captured = _captured(session)
        connection = session.connection(bind_arguments={"mapper": self._rows[0].mapper})
        _give_way(self._database, connection)
        place = self._place(connection, lock=True)
        if place is None:
            return Step(None, done=True)  # Another process has taken the last chunk.
        if place.snapshot != snapshot:
            raise LifecycleError(f"binding {self._binding}: somebody has begun the snapshot anew")
        if (waiting := count_rows(connection, self._database)) > MAX_BACKLOG:
            text = f"{waiting} messages wait in the outbox"
            if not is_relayed(connection, self._database):
                text += ", and nobody relays: start the application, or `streambind relay`"
            return Step(place, waits=text)
        return self._carried_on(session, connection, captured, place)

    def _carried_on(
        self, session: Session, connection: Connection, captured: CapturedSession, place: Place
    ) -> Step:
        at = self._at(place)
        rows, key = self._rows[at], None if place.after is None else read_key(place.after)
        keys = rows.after(session, key, limit=self._chunk)
        entities = rows.of(session, self._database.dialect, keys)
        messages = list(rows.messages(entities, place.job, place.snapshot))
        captured.write(session, messages, rows.mapper)
        place = replace(place, rows=place.rows + len(entities), events=place.events + len(messages))
        if len(keys) == self._chunk:
            place = replace(place, after=key_text(keys[-1]))
        elif at + 1 < len(self._rows):
            place = replace(place, of=self._rows[at + 1].name, after=None)
        else:
            connection.execute(delete(self._table).where(self._mine))
            failpoint("snapshot.before_commit")
            return Step(place, done=True)
        connection.execute(update(self._table).where(self._mine).values(self._values(place)))
        failpoint("snapshot.before_commit")
        return Step(place)

    def _at(self, place: Place) -> int:
        for at, rows in enumerate(self._rows):
            if rows.name == place.of:
                return at
        raise LifecycleError(
            f"binding {self._binding}: the unfinished snapshot is at {place.of}, which is not published to it any "
            "more: begin anew with --restart"
        )

    def _place(self, connection: Connection, *, lock: bool = False) -> Place | None:
        query = select(self._table).where(self._mine)
        row = connection.execute(self._database.dialect.locked(query) if lock else query).first()
        if row is None:
            return None
        job = JobType(row.job_type)
        return Place(
            row.snapshot_id, row.of_class, row.after_key, row.row_condition, job, row.rows_taken, row.events_made
        )

    @property
    def _mine(self) -> Any:
        return self._table.c.binding == self._binding

    def _values(self, place: Place) -> dict[str, Any]:
        return {
            "snapshot_id": place.snapshot,
            "of_class": place.of,
            "after_key": place.after,
            "row_condition": place.where,
            "job_type": str(place.job),
            "rows_taken": place.rows,
            "events_made": place.events,
            "updated_ms": self._database.dialect.now_ms,
        }


def published_rows(session: Session, binding: str, *, where: str | None = None) -> list[SnapshotRows]:
    """What the application of a captured session publishes to an output."""
    return rows_of(_captured(session).desk.plans, binding, where=where)


def send_again(
    database: Database, session: Session, rows: SnapshotRows, keys: Sequence[Key], job: JobType, mark: UUID
) -> int:
    """Write the events of some rows to the outbox, as a snapshot does, in the session's transaction; returns how
    many. Where writers are in the way it raises what `gave_way` knows: then roll back, and try again."""
    captured = _captured(session)
    connection = session.connection(bind_arguments={"mapper": rows.mapper})
    _give_way(database, connection)
    messages = list(rows.messages(rows.of(session, database.dialect, keys), job, mark))
    captured.write(session, messages, rows.mapper)
    return len(messages)


def _give_way(database: Database, connection: Connection) -> None:
    """Wait for no writer, and let none wait long: for a process that is stopped, or whose host is gone, rows would
    stay locked."""
    database.bound(connection)
    database.dialect.give_way(connection)


def gave_way(error: Exception) -> bool:
    """Whether a transaction ended because writers were in its way."""
    return is_database_trouble(error) and state_of(error) in _IN_THE_WAY


def _captured(session: Session) -> CapturedSession:
    captured = captured_session(session)
    if captured is None:
        raise ConfigurationError("the sessions of this application are not captured: build the application first")
    return captured
