"""Whose fault a database error is."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import exc

from streambind.persistence.failures import describe, is_database_trouble


class DriverError(Exception):
    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def _error(
    kind: type[exc.DBAPIError], text: str, sqlstate: str | None = None, *, invalidated: bool = False
) -> exc.DBAPIError:
    return kind(
        "UPDATE t SET x = :x", {"x": "secret"}, DriverError(text, sqlstate), connection_invalidated=invalidated
    )


def _sqlite_error(text: str) -> exc.DBAPIError:
    return exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError(text))


@pytest.mark.parametrize(
    "error",
    [
        _error(exc.OperationalError, "deadlock detected", "40P01"),
        _error(exc.OperationalError, "could not serialize", "40001"),
        _error(exc.OperationalError, "no space left on device", "53100"),
        _error(exc.OperationalError, "terminating connection", "57P01"),
        _error(exc.InternalError, "terminating: idle in transaction", "25P03"),
        _error(exc.DBAPIError, "gone", invalidated=True),
        _error(exc.OperationalError, "database is locked"),
        _error(exc.OperationalError, "database or disk is full"),
        _error(exc.OperationalError, "connection refused"),
        exc.TimeoutError("QueuePool limit reached"),
    ],
    ids=lambda e: str(e.orig) if isinstance(e, exc.DBAPIError) else type(e).__name__,
)
def test_trouble_of_the_database_is_no_message_s_fault(error: BaseException) -> None:
    assert is_database_trouble(error)


@pytest.mark.parametrize(
    "error",
    [
        _error(exc.IntegrityError, "duplicate key", "23505"),
        _error(exc.IntegrityError, "foreign key", "23503"),
        _error(exc.ProgrammingError, "relation does not exist", "42P01"),
        _error(exc.OperationalError, "no such table: category"),
        _sqlite_error("no such table: connection_log"),
        ValueError("the database is locked, says a handler"),
        RuntimeError("could not connect to the mail server"),
    ],
    ids=lambda e: str(e.orig) if isinstance(e, exc.DBAPIError) else type(e).__name__,
)
def test_other_errors_are_not_trouble_of_the_database(error: BaseException) -> None:
    assert not is_database_trouble(error)


def _wrapped(cause: BaseException, *, hidden: bool) -> BaseException:
    """What a handler raises `from` an error, or `from None` to hide it."""
    error = RuntimeError("cannot keep the category")
    error.__context__, error.__suppress_context__ = cause, True
    error.__cause__ = None if hidden else cause
    return error


def test_trouble_is_found_behind_a_handler_s_own_error() -> None:
    assert is_database_trouble(_wrapped(_error(exc.OperationalError, "closed", "08006"), hidden=False))


def test_trouble_that_a_handler_dealt_with_is_not_found() -> None:
    assert not is_database_trouble(_wrapped(_error(exc.OperationalError, "closed", "08006"), hidden=True))


def test_a_description_holds_no_row_data() -> None:
    text = describe(_error(exc.IntegrityError, "duplicate key\nDETAIL: Key (email)=(kim@example.org)", "23505"))

    assert text == "IntegrityError, SQLSTATE 23505 (unique)"


def test_a_text_that_steers_a_terminal_or_fakes_a_line_is_made_harmless() -> None:
    told = describe(ValueError("\x1b[2Jgone\nCRITICAL all is lost"))
    assert told == "ValueError: \\x1b[2Jgone"
