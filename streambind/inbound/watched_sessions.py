"""Sessions whose events are listened to once for all of them: to register listeners for each takes SQLAlchemy as
long as to write some rows."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from streambind.persistence.database import Database

_EVENTS = (
    "after_commit",
    "after_transaction_end",
    "transient_to_pending",
    "pending_to_persistent",
    "pending_to_transient",
    "before_flush",
    "after_flush_postexec",
)
_TOLD = "_streambind_told"


class WatchedSessions:
    """Makes sessions as a service's sessionmaker does, of a class of their own below the one that it makes; but
    asynchronous ones whose class has a constructor of its own, which may choose theirs, as they are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        sessions = database.sessions
        self._make: Callable[..., Session | AsyncSession]
        self._below: dict[type[Session], type[Session]] = {}
        if isinstance(sessions, async_sessionmaker):
            self._make = sessions
        else:
            own = copy(sessions)  # What is configured later is configured in both.
            own.class_ = self._watched(sessions.class_)
            self._make = own

    def __call__(self, connection: Connection, **settings: Any) -> Session | AsyncSession:
        """A session on this connection."""
        if not self._database.is_async:
            return self._make(bind=connection, **settings)
        asynchronous = AsyncConnection(AsyncEngine(self._database.engine), connection)
        if self._database.sessions.class_.__init__ is not AsyncSession.__init__:
            return self._make(bind=asynchronous, **settings)
        return self._make(bind=asynchronous, sync_session_class=self._watched(self._made()), **settings)

    def _made(self) -> type[Session]:
        """What an asynchronous sessionmaker makes its sessions of now: capture puts a class of its own there."""
        sessions: Any = self._database.sessions
        made: type[Session] = sessions.kw.get("sync_session_class") or sessions.class_.sync_session_class
        return made

    def _watched(self, made: type[Session]) -> type[Session]:
        """The class below this one, whose events are listened to."""
        if (known := self._below.get(made)) is not None:
            return known
        watched = type(made.__name__, (made,), {_TOLD: {}})
        for name in _EVENTS:
            event.listen(watched, name, _telling(name))
        return self._below.setdefault(made, watched)


def watch(session: Session, **told: Callable[..., None]) -> None:
    """Call these, by the names of events, with what SQLAlchemy gives listeners. The session is one of
    `WatchedSessions`."""
    if hasattr(session, _TOLD):
        setattr(session, _TOLD, {**getattr(session, _TOLD), **told})
    else:
        for name, call in told.items():
            event.listen(session, name, call)


def unwatch(session: Session) -> None:
    """Call nobody any more; what was called need not live as long as the session."""
    setattr(session, _TOLD, {})


def _telling(name: str) -> Callable[..., None]:
    def tell(session: Session, *given: Any) -> None:
        if (told := getattr(session, _TOLD).get(name)) is not None:
            told(session, *given)

    return tell
