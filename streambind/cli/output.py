"""What commands print: tables and colours for people, JSON for machines, errors without tracebacks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from streambind.configuration.finding import Finding, Severity
from streambind.errors import BrokerUnavailableError, ConfigurationError, StreambindError
from streambind.persistence.failures import describe, is_database_trouble

OK, FAILED, AWAY = 0, 1, 3
"""Exit codes beside click's 2 for a wrong command line: AWAY when a broker or database does not answer."""

P = ParamSpec("P")
R = TypeVar("R")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON document, UTF-8 unescaped."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table without frames; `empty` is said instead when there are no rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
        count += 1
    if count:
        out.print(table, soft_wrap=False)
    else:
        out.print(empty)


def print_findings(findings: Sequence[Finding]) -> None:
    """One line per finding, then the counts."""
    for finding in findings:
        colour = "red" if finding.severity is Severity.ERROR else "yellow"
        place = f"{escape(str(finding.origin))}  " if finding.origin else ""
        severity = f"[{colour}]{finding.severity:<7}[/{colour}]"
        out.print(f"{place}{severity}  {escape(finding.text)}")
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    out.print(f"{_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def without_traceback(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a user can cause into a message and an exit code; a defect keeps its traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            if error.findings:
                print_findings(error.findings)
            else:
                _say(error)
            raise SystemExit(FAILED) from error
        except BrokerUnavailableError as error:
            _say(error)
            raise SystemExit(AWAY) from error
        except StreambindError as error:
            _say(error)
            raise SystemExit(FAILED) from error
        except SQLAlchemyError as error:
            err.print(f"[red]error[/red]  the database refused: {escape(describe(error))}")
            raise SystemExit(AWAY if is_database_trouble(error) else FAILED) from error

    return run


def _say(error: Exception) -> None:
    err.print(f"[red]error[/red]  {escape(str(error))}")


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)
