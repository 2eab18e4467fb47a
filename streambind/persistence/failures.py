"""Whether a database error is the database's trouble (wait and try again) or the statement's fault."""

from __future__ import annotations

from sqlalchemy import exc

_TRANSIENT_CLASSES = ("08", "53", "57", "58")
"""SQLSTATE classes: connection, resources (disk full, too many connections), operator (shutdown), system."""

_TRANSIENT_STATES = frozenset({"40001", "40P01", "25P03", "25P04", "55P03", "XX000"})
"""Serialization, deadlock, idle and transaction time-outs, lock not available, internal error."""

_SQLITE = (
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "readonly database",
    # A full disk inside a savepoint drops the whole transaction; releasing the savepoint shows it.
    "no such savepoint",
    "cannot commit - no transaction",
)


def is_database_trouble(error: BaseException) -> bool:
    """True if the whole transaction should be done again later, without blame on any message: connection lost,
    deadlock, lock time-out, disk full, server restarting. The chain of causes is searched: a handler may have
    wrapped the error."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if _is_trouble(current):
            return True
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return False


def _is_trouble(error: BaseException) -> bool:
    if isinstance(error, exc.TimeoutError | exc.DisconnectionError):
        return True
    if isinstance(error, exc.InvalidatePoolError):
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return state in _TRANSIENT_STATES or state.startswith(_TRANSIENT_CLASSES)
    text = str(error.orig)
    if any(part in text for part in _SQLITE):
        return True
    # Drivers report a refused connection without a SQLSTATE.
    return isinstance(error, exc.OperationalError | exc.InterfaceError) and "connect" in text.lower()


def sqlstate(error: exc.DBAPIError) -> str | None:
    """The five-character SQLSTATE, where the driver gives one."""
    for attribute in ("sqlstate", "pgcode"):
        state = getattr(error.orig, attribute, None)
        if isinstance(state, str):
            return state
    return None


def describe(error: BaseException) -> str:
    """An error in one line without row data: class, SQLSTATE and constraint, never the parameters."""
    if isinstance(error, exc.DBAPIError):
        state = sqlstate(error)
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        parts = [type(error).__name__]
        if state:
            parts.append(f"SQLSTATE {state}")
        if constraint:
            parts.append(f"constraint {constraint}")
        if not state:
            parts.append(str(error.orig).splitlines()[0][:200] if str(error.orig) else "")
        return ", ".join(filter(None, parts))
    text = str(error).splitlines()[0][:500] if str(error) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
