"""What a session may do to published tables right now, so that the guard on the engine can tell.

The guard sees SQL on a connection. This file leads from a connection to the sessions that work on it.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.orm import Session, UOWTransaction

_INFO = "streambind.permits"


class Permits:
    """`flush` is the unit of work of the flush that runs, `by_keys` whether a bulk UPDATE by primary key does,
    which the unit of work sends too; `suppressed` counts the open `suppress_events`."""

    __slots__ = ("by_keys", "flush", "suppressed")

    def __init__(self) -> None:
        self.flush: UOWTransaction | None = None
        self.by_keys = False
        self.suppressed = 0

    @property
    def writes(self) -> bool:
        """Whether the unit of work writes what capture sees. A flush that turns out to have nothing to do, or
        that a hook stops before its beginning, is never said to be over: it has no work."""
        return self.by_keys or (self.flush is not None and self.flush.has_work)


_AT_WORK: WeakKeyDictionary[Connection, tuple[Permits, ...]] = WeakKeyDictionary()


def permits_of(session: Session) -> Permits:
    """The permits of a session, made on first use."""
    found: Permits | None = session.info.get(_INFO)
    if found is None:
        found = session.info[_INFO] = Permits()
    return found


def is_suppressed(session: Session) -> bool:
    """Whether `suppress_events` is open for the session."""
    found: Permits | None = session.info.get(_INFO)
    return found is not None and found.suppressed > 0


def enter(connection: Connection, permits: Permits) -> None:
    """A session begins to work on a connection. Several may: sessions joined to one outer transaction."""
    present = _AT_WORK.get(connection, ())
    if permits not in present:
        _AT_WORK[connection] = (*present, permits)


def leave(connection: Connection, permits: Permits) -> None:
    """The session has ended its transaction on the connection."""
    rest = tuple(p for p in _AT_WORK.get(connection, ()) if p is not permits)
    if rest:
        _AT_WORK[connection] = rest
    else:
        _AT_WORK.pop(connection, None)


def at_work(connection: Connection) -> tuple[Permits, ...]:
    """The permits of the sessions that work on a connection."""
    return _AT_WORK.get(connection, ())


def connections_of(session: Session) -> list[Connection]:
    """The connections that a session's transaction holds, without acquiring one."""
    transaction: Any = session.get_transaction()
    if transaction is None:
        return []
    # Public as `connections` since SQLAlchemy 2.1.7 only.
    return list({entry[0] for entry in transaction._connections.values()})
