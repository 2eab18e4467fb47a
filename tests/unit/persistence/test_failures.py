"""Whose fault a database error is."""

from __future__ import annotations

import sqlite3

import pymysql
import pytest
from sqlalchemy import exc

from streambind.persistence.failures import describe, is_database_trouble, is_refusal, is_statement_timeout


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


def _mysql_error(number: int, text: str) -> exc.DBAPIError:
    """As SQLAlchemy raises what PyMySQL does; the class of its errors is often wrong and never looked at."""
    return exc.OperationalError("UPDATE t SET x = %s", ("secret",), pymysql.OperationalError(number, text))


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
        _mysql_error(1213, "Deadlock found when trying to get lock; try restarting transaction"),
        _mysql_error(1305, "SAVEPOINT sa_savepoint_1 does not exist"),
        _mysql_error(1205, "Lock wait timeout exceeded; try restarting transaction"),
        _mysql_error(2003, "Can't reach the server"),
        _mysql_error(2013, "Lost in the midst of a query"),
        _mysql_error(1114, "The table 'effect' is full"),
        _mysql_error(1969, "Query execution was interrupted (max_statement_time exceeded)"),
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
        _mysql_error(1062, "Duplicate entry '1213' for key 'PRIMARY'"),
        _mysql_error(1146, "Table 'd.category' doesn't exist"),
        _mysql_error(1305, "FUNCTION d.savepoint does not exist"),
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


@pytest.mark.parametrize(
    ("number", "said", "told"),
    [
        (1062, "Duplicate entry 'kim for key 'x'-2' for key 'email'", "error 1062 (unique), constraint email"),
        (1062, "Duplicate entry 'CONSTRAINT `x`' for key 'PRIMARY'", "error 1062 (unique), constraint PRIMARY"),
        (
            1452,
            "Cannot add a child row (`d`.`seat`, CONSTRAINT `seat_room` FOREIGN KEY (`room`) REFERENCES `room`)",
            "error 1452 (foreign key), constraint seat_room",
        ),
        (1366, "Incorrect integer value: 'kim' for column `d`.`t`.`age` at row 1", "error 1366"),
        (1406, "Data too long for column 'name' at row 1", "error 1406 (value too long)"),
        (1213, "Deadlock found when trying to get lock; try restarting transaction", "error 1213 (deadlock)"),
    ],
)
def test_a_description_of_mysqls_errors_holds_no_row_data(number: int, said: str, told: str) -> None:
    assert describe(_mysql_error(number, said)) == f"OperationalError, {told}"


@pytest.mark.parametrize("number", [1048, 1062, 1264, 1366, 1406, 1452, 4025])
def test_mysql_refuses_values_by_number_whatever_the_class_of_the_error(number: int) -> None:
    assert is_refusal(_mysql_error(number, "refused"))
    assert not is_database_trouble(_mysql_error(number, "refused"))


@pytest.mark.parametrize("number", [1317, 1969, 3024])
def test_a_statement_that_mysql_ended_may_be_the_messages_own(number: int) -> None:
    assert is_statement_timeout(_mysql_error(number, "interrupted"))


def test_a_text_that_steers_a_terminal_or_fakes_a_line_is_made_harmless() -> None:
    told = describe(ValueError("\x1b[2Jgone\nCRITICAL all is lost"))
    assert told == "ValueError: \\x1b[2Jgone"
