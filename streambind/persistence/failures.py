"""Whether a database error is the database's trouble (wait and try again) or the statement's fault; and the texts
of errors without row data."""

from __future__ import annotations

import re
import sqlite3

from pydantic import ValidationError
from sqlalchemy import exc

from streambind.conversion import reasons
from streambind.visible import visible

UNIQUE = "23505"
UNDEFINED_TABLE = "42P01"
UNDEFINED_COLUMN = "42703"
DUPLICATE_TABLE, DUPLICATE_TABLE_NUMBER = "42P07", 1050
UNDEFINED_INDEX_NUMBER = 1176
STATEMENT_TIMEOUT = "57014"
LOCK_TIMEOUT = "55P03"

_TRANSIENT_CLASSES = ("08", "53", "57", "58")
"""SQLSTATE classes: connection, resources (disk full, too many connections), operator (shutdown), system."""

_TRANSIENT_STATES = frozenset({"40000", "40001", "40P01", "25P03", "25P04", LOCK_TIMEOUT, "XX000"})
"""Transaction gone, serialization, deadlock, idle and transaction time-outs, lock time-out, internal error."""

_WORDS = {
    "08006": "connection lost",
    "22001": "value too long",
    "22003": "number out of range",
    "23502": "not null",
    "23503": "foreign key",
    "23505": "unique",
    "23514": "check",
    "40000": "transaction is gone",
    "40001": "serialization",
    "40P01": "deadlock",
    "42501": "permission denied",
    UNDEFINED_COLUMN: "no such column",
    UNDEFINED_TABLE: "no such table",
    "53100": "disk full",
    "53300": "too many connections",
    LOCK_TIMEOUT: "lock not available",
    "57014": "statement timed out",
    "57P01": "server shuts down",
}
"""What the states that users meet are about; their own texts may quote row data."""

_REFUSALS = ("22", "23", "54")
"""SQLSTATE classes: data, integrity, limits of the program (an index row that is too large)."""

_NUMBERS = {
    # In a SAVEPOINT these show that the whole transaction is gone, and the connection would go on without it.
    1213: "40P01",
    1020: "40001",
    1205: LOCK_TIMEOUT,
    1206: LOCK_TIMEOUT,
    3572: LOCK_TIMEOUT,
    # The server or the way to it.
    **dict.fromkeys((1053, 1079, 1290, 1836), "57P01"),
    **dict.fromkeys((1152, 1158, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2006, 2013, 2055, 4031), "08006"),
    **dict.fromkeys((1040, 1203, 1226), "53300"),
    **dict.fromkeys((3, 1021, 1114), "53100"),
    **dict.fromkeys((1037, 1038, 1041), "53200"),
    1047: "57P03",
    1317: "57014",
    1969: "57014",
    3024: "57014",
    # What was asked.
    1048: "23502",
    **dict.fromkeys((1216, 1217, 1451, 1452), "23503"),
    **dict.fromkeys((1062, 1169, 1586), UNIQUE),
    **dict.fromkeys((3819, 4025), "23514"),
    **dict.fromkeys((1264, 1690), "22003"),
    **dict.fromkeys((1265, 1292, 1366), "22000"),
    1406: "22001",
    **dict.fromkeys((1071, 1118, 1153), "54000"),
    **dict.fromkeys((1044, 1045, 1142, 1143, 1227), "42501"),
    1054: UNDEFINED_COLUMN,
    1146: UNDEFINED_TABLE,
}
"""MySQL's and MariaDB's error numbers, as PostgreSQL's SQLSTATEs for the same: their own are coarser."""

_MYSQL_DRIVERS = ("pymysql", "asyncmy", "MySQLdb", "mysql", "mariadb")

_GONE = re.compile(r"SAVEPOINT \S+ does not exist")
"""1305 is what releasing a savepoint says after a deadlock in it, that a handler may have kept to itself; and what
calling an unknown function says."""

_STATEMENT = "42"
"""SQLSTATE class: what is found before any row is looked at. SQLite has no states, and no row data in texts."""

_STATEMENT_NUMBERS = (1064, 1128, 1305)
"""MySQL: syntax, and functions that are not there."""

_CLASS = re.compile(r"^<class '[^']*'>: ")
"""How SQLAlchemy's adapters of asynchronous drivers begin an error's text."""

_KEY = re.compile(r"for key '([^']*)'$")
_CONSTRAINT = re.compile(r"CONSTRAINT `([^`]*)`")

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
    state = state_of(error)
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
    return isinstance(error, exc.DBAPIError) and state_of(error) == STATEMENT_TIMEOUT


def is_refusal(error: BaseException) -> bool:
    """True if the database refused a statement for the values in it (too long, out of range, a constraint): the
    same values would be refused again."""
    if not isinstance(error, exc.DBAPIError) or _is_trouble(error):
        return False
    state = state_of(error)
    return (
        state.startswith(_REFUSALS) if state is not None else isinstance(error, exc.DataError | exc.IntegrityError)
    )


def is_duplicate(error: exc.DBAPIError) -> bool:
    """True if a row of that key is there already."""
    state = state_of(error)
    return state == UNIQUE if state is not None else "UNIQUE constraint" in str(error.orig)


def is_undefined_table(error: exc.DBAPIError) -> bool:
    """True if a statement named a table that is not there."""
    return state_of(error) == UNDEFINED_TABLE or "no such table" in str(error.orig)


def is_undefined_column(error: exc.DBAPIError) -> bool:
    """True if a statement named a column that its table has not."""
    text = str(error.orig)
    return state_of(error) == UNDEFINED_COLUMN or "no such column" in text or "has no column named" in text


def is_undefined_index(error: exc.DBAPIError) -> bool:
    """True if a statement named an index that its table has not."""
    return _number(error.orig) == UNDEFINED_INDEX_NUMBER


def is_duplicate_table(error: exc.DBAPIError) -> bool:
    """True if a statement was to make a table that is there already, or is just being made."""
    text, state = str(error.orig), state_of(error)
    if _number(error.orig) is not None or state is None:
        return _number(error.orig) == DUPLICATE_TABLE_NUMBER or "already exists" in text
    return state == DUPLICATE_TABLE or (state == UNIQUE and ("pg_type_" in text or "pg_class_" in text))


def state_of(error: BaseException) -> str | None:
    """The five-character SQLSTATE in PostgreSQL's meaning; None where the driver gives nothing to tell it by."""
    driver = _driver_error(error)
    if (number := _number(driver)) is not None:
        return "40000" if number == 1305 and _GONE.search(str(driver)) else _NUMBERS.get(number)
    for attribute in ("sqlstate", "pgcode"):
        state = getattr(driver, attribute, None)
        if isinstance(state, str):
            return state
    return None


def _driver_error(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, exc.StatementError) else error


def _number(driver: BaseException | None) -> int | None:
    """The error number of a driver for MySQL."""
    if not type(driver).__module__.startswith(_MYSQL_DRIVERS):
        return None
    number = getattr(driver, "errno", None) or next(iter(getattr(driver, "args", ())), None)
    return number if isinstance(number, int) else None


def describe(error: BaseException) -> str:
    """An error in one line without row data: its class and the first line of its `message_of`. Nothing in it
    steers a terminal or looks like a line of its own."""
    lines = message_of(error).splitlines()
    text = visible(lines[0][:500]) if lines else ""
    if isinstance(error, exc.StatementError):
        return f"{type(error).__name__}, {text}" if text else type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def fault_in_statement(error: exc.DBAPIError) -> str:
    """What a database says is wrong with the text of a statement, in its own words, which name columns and quote
    the text; `describe` where they could hold row data."""
    driver, number = _driver_error(error), _number(_driver_error(error))
    state = _STATEMENT if number in _STATEMENT_NUMBERS else state_of(error)
    if state is None and number is None and isinstance(driver, sqlite3.Error):
        state = _STATEMENT
    if driver is None or not (state or "").startswith(_STATEMENT):
        return describe(error)
    said = str(driver) if number is None else str(driver.args[-1])
    first = next(iter(said.splitlines()), "")
    return visible(_CLASS.sub("", first)[:500])


def message_of(error: BaseException) -> str:
    """An error's text without row data: of a database error SQLSTATE and constraint, never the parameters or
    the detail; of a pydantic one fields and reasons, never the values. Other errors tell what they hold."""
    if isinstance(error, ValidationError):
        return reasons(error)
    driver, state = _driver_error(error), state_of(error)  # SQLAlchemy's error, or the driver's own.
    if (number := _number(driver)) is not None or state is not None:
        code = f"SQLSTATE {state}" if number is None else f"error {number}"
        words = f"{code} ({_WORDS[state]})" if state in _WORDS else code
        constraint = _constraint(driver, state)
        return f"{words}, constraint {constraint}" if constraint else words
    if isinstance(error, exc.DBAPIError):
        return next(iter(str(error.orig).splitlines()), "")[:200]
    if isinstance(error, exc.StatementError):  # The value did not fit its column's type.
        return type(error.orig).__name__
    return str(error)


def _constraint(driver: BaseException | None, state: str | None) -> str | None:
    """The name of the constraint that was violated."""
    named = getattr(getattr(driver, "diag", None), "constraint_name", None)
    if named is not None or _number(driver) is None:
        return named
    # The values of a unique key come before its name, and may look like anything.
    found = (_KEY if state == UNIQUE else _CONSTRAINT).search(str(driver.args[-1])) if driver else None
    return found.group(1) if found else None
