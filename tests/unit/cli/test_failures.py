"""Every mistake has its exit code and its line, and no traceback."""

from __future__ import annotations

import click
import pytest
from click.testing import Result
from sqlalchemy.exc import IntegrityError, OperationalError

from streambind.cli.command import Commands
from streambind.cli.failures import UnreachableError, half_done
from streambind.configuration import Finding, Origin, Severity
from streambind.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DatabaseUnavailableError,
    LifecycleError,
    SchemaError,
    StreambindError,
)
from tests.unit.cli.conftest import invoke


def _after(error: BaseException) -> Result:
    @click.group(cls=Commands)
    def group() -> None:
        """A group."""

    @group.command()
    def fail() -> None:
        raise error

    return invoke(group, "fail")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreambindError("x went wrong"), 1),
        (ConfigurationError("x went wrong"), 1),
        (SchemaError("x went wrong"), 1),
        (BrokerUnavailableError("x went wrong"), 3),
        (DatabaseUnavailableError("x went wrong"), 3),
        (UnreachableError("x went wrong"), 3),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error: StreambindError, code: int) -> None:
    result = _after(error)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", "error  x went wrong\n")


def test_findings_are_listed() -> None:
    finding = Finding(Severity.ERROR, "no such thing", Origin("a.yaml", 3, 5))
    result = _after(ConfigurationError("the configuration has 1 error", [finding]))
    assert result.exit_code == 1
    assert result.stderr == "a.yaml:3:5  error    no such thing\n1 error, 0 warnings\n"


def test_a_database_that_is_away_is_told_from_one_that_refuses() -> None:
    away = OperationalError("select", {}, Exception("connection refused"))
    refused = IntegrityError("insert", {}, Exception("unique"))
    for error, code, text in ((away, 3, "does not answer: Operational"), (refused, 1, "refused: Integrity")):
        result = _after(error)
        assert result.exit_code == code
        assert result.stderr.startswith(f"error  the database {text}")


def test_control_characters_of_an_error_are_shown_harmless() -> None:
    assert _after(StreambindError("a\x1b[2Jb\nc")).stderr == "error  a\\x1b[2Jb\nc\n"


def test_interrupts_and_closed_pipes_are_silent() -> None:
    for error, code in ((KeyboardInterrupt(), 130), (BrokenPipeError(), 141)):
        result = _after(error)
        assert (result.exit_code, result.stdout, result.stderr) == (code, "", "")


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        BrokerUnavailableError("x"),
        DatabaseUnavailableError("x"),
        OperationalError("select", {}, Exception("connection refused")),
    ],
)
def test_what_is_there_of_what_ended_in_the_middle_is_told(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    with pytest.raises(type(error)), half_done(lambda: "moved by then: a[0]"):
        raise error
    assert capsys.readouterr().err == "it ended in the middle; moved by then: a[0]\n"


@pytest.mark.parametrize(
    ("error", "what"), [(KeyboardInterrupt(), None), (LifecycleError("nothing was done"), "moved by then: a[0]")]
)
def test_nothing_is_told_where_nothing_is_there(
    capsys: pytest.CaptureFixture[str], error: BaseException, what: str | None
) -> None:
    with pytest.raises(type(error)), half_done(lambda: what):
        raise error
    assert capsys.readouterr().err == ""


def test_a_defect_keeps_its_traceback() -> None:
    assert isinstance(_after(ZeroDivisionError("a bug")).exception, ZeroDivisionError)
