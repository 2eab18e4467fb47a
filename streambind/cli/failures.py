"""What a user can cause becomes one message and an exit code; a defect of streambind keeps its traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from streambind.cli.output import AWAY, FAILED, INTERRUPTED, PIPE_CLOSED, err, line, print_findings, write_error
from streambind.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DatabaseUnavailableError,
    StreambindError,
)
from streambind.persistence.failures import describe, is_database_trouble


class UnreachableError(StreambindError):
    """A running application was asked and did not answer."""


_AWAY = (BrokerUnavailableError, DatabaseUnavailableError, UnreachableError)
_UNASKED = (KeyboardInterrupt, *_AWAY)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Run a command inside of it.

    Raises:
        SystemExit: with the exit code, once the message is printed.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        raise SystemExit(PIPE_CLOSED) from None
    except KeyboardInterrupt:
        _end_line()
        raise SystemExit(INTERRUPTED) from None
    except (StreambindError, SQLAlchemyError) as error:
        raise SystemExit(_tell(error)) from error


def _tell(error: StreambindError | SQLAlchemyError) -> int:
    if isinstance(error, ConfigurationError) and error.findings:
        print_findings(error.findings, err)
        return FAILED
    if isinstance(error, SQLAlchemyError):
        away = is_database_trouble(error)
        write_error(f"the database {'does not answer' if away else 'refused'}: {describe(error)}")
        return AWAY if away else FAILED
    write_error(error)
    return AWAY if isinstance(error, _AWAY) else FAILED


@contextlib.contextmanager
def half_done(what: Callable[[], str | None]) -> Iterator[None]:
    """Say what there is by then, unless that is None, if it ends because of Ctrl-C, or a broker or a database that
    goes away."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        ended = isinstance(error, _UNASKED) or is_database_trouble(error)
        text = what() if ended else None
        if text is not None:
            if isinstance(error, KeyboardInterrupt):
                _end_line()
            err.print(line("it ended in the middle; {}", text))
        raise


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """For what is meant to end by Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        _end_line()


def _end_line() -> None:
    """A terminal has shown ^C; the prompt belongs on the next line."""
    if err.is_terminal:
        err.print()


def _drop_output() -> None:
    """Let Python's own flush at the end find an open file: nobody reads the rest."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
