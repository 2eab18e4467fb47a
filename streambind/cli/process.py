"""What commands share that run until a signal: settings on the command line, and a log on standard error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import click
from rich.logging import RichHandler
from rich.text import Text

from streambind.cli.output import err
from streambind.configuration.arguments import is_setting
from streambind.visible import visible

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def process_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The parameters `settings` and `log_level`, for `begin`."""
    settings = click.argument(
        "settings", nargs=-1, type=click.UNPROCESSED, metavar="[--key=value]...", callback=_checked
    )
    level = click.option(
        "--log-level",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="INFO",
        show_default=True,
        help="Least level of what is logged.",
    )
    return settings(level(command))


def log_to_standard_error(level: str) -> None:
    """Log to standard error, unless the application's module has set up logging of its own by then."""
    if err.is_terminal:
        handler: logging.Handler = _TerminalHandler(
            console=err, show_path=False, log_time_format="%H:%M:%S", omit_repeated_times=False
        )
        handler.setFormatter(_VisibleFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _checked(_context: click.Context, _parameter: click.Parameter, settings: tuple[str, ...]) -> tuple[str, ...]:
    """The application itself reads them from the command line, as it does when it is no command's guest."""
    for setting in settings:
        if not is_setting(setting) or "=" not in setting:
            raise click.UsageError(
                f"{setting!r} is no option and no setting; settings are written --spring.x.y=value or "
                "--streambind.x=value"
            )
    return settings


class _VisibleFormatter(logging.Formatter):
    """What a broker or a record said may stand in a message; tracebacks keep their lines."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)


class _TerminalHandler(RichHandler):
    def render_message(self, record: logging.LogRecord, message: str) -> Text:
        return Text(message)
