"""Whether a database error is the database's trouble (wait and try again) or the statement's fault; and the texts
of errors without row data."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy import exc

from streambind.conversion import reasons
from streambind.visible import visible

_TRANSIENT_CLASSES = ("08", "53", "57", "58")
"""SQLSTATE classes: connection, resources (disk full, too many connections), operator (shutdown), system."""

_TRANSIENT_STATES = frozenset({"40001", "40P01", "25P03", "25P04", "55P03", "XX000"})
"""Serialization, deadlock, idle and transaction time-outs, lock not available, internal error."""

_WORDS = {
    "23502": "not null",
    "23503": "foreign key",
    "23505": "unique",
    "23514": "check",
    "40001": "serialization",
    "40P01": "deadlock",
    "42501": "permission denied",
    "42703": "no such column",
    "42P01": "no such table",
    "53100": "disk full",
    "53300": "too many connections",
    "55P03": "lock not available",
    "57014": "statement timed out",
    "57P01": "server shuts down",
}
"""What the states that users meet are about; their own texts may quote row data."""

_REFUSALS = ("22", "23", "54")
"""SQLSTATE classes: data, integrity, limits of the program (an index row that is too large)."""

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
    # Drivers of servers report a refused connection without a SQLSTATE.
    of_server = not type(error.orig).__module__.startswith("sqlite3")
    return of_server and isinstance(error, exc.OperationalError | exc.InterfaceError) and "connect" in text.lower()


def is_statement_timeout(error: BaseException) -> bool:
    """True if the database ended a statement because it took too long: it may be the database's trouble, or the
    statement's fault."""
    return isinstance(error, exc.DBAPIError) and sqlstate(error) == "57014"


def is_refusal(error: BaseException) -> bool:
    """True if the database refused a statement for the values in it (too long, out of range, a constraint): the
    same values would be refused again."""
    if not isinstance(error, exc.DBAPIError) or _is_trouble(error):
        return False
    state = sqlstate(error)
    return (
        state.startswith(_REFUSALS) if state is not None else isinstance(error, exc.DataError | exc.IntegrityError)
    )


def sqlstate(error: BaseException) -> str | None:
    """The five-character SQLSTATE, where the driver gives one."""
    driver = error.orig if isinstance(error, exc.StatementError) else error
    for attribute in ("sqlstate", "pgcode"):
        state = getattr(driver, attribute, None)
        if isinstance(state, str):
            return state
    return None


def describe(error: BaseException) -> str:
    """An error in one line without row data: its class and the first line of its `message_of`. Nothing in it
    steers a terminal or looks like a line of its own."""
    lines = message_of(error).splitlines()
    text = visible(lines[0][:500]) if lines else ""
    if isinstance(error, exc.StatementError):
        return f"{type(error).__name__}, {text}" if text else type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def message_of(error: BaseException) -> str:
    """An error's text without row data: of a database error SQLSTATE and constraint, never the parameters or
    the detail; of a pydantic one fields and reasons, never the values. Other errors tell what they hold."""
    if isinstance(error, ValidationError):
        return reasons(error)
    if (state := sqlstate(error)) is not None:  # SQLAlchemy's error, or the driver's own.
        driver = error.orig if isinstance(error, exc.StatementError) else error
        constraint = getattr(getattr(driver, "diag", None), "constraint_name", None)
        words = f"SQLSTATE {state} ({_WORDS[state]})" if state in _WORDS else f"SQLSTATE {state}"
        return f"{words}, constraint {constraint}" if constraint else words
    if isinstance(error, exc.DBAPIError):
        return next(iter(str(error.orig).splitlines()), "")[:200]
    if isinstance(error, exc.StatementError):  # The value did not fit its column's type.
        return type(error.orig).__name__
    return str(error)
