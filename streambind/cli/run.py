"""`streambind run`: an application as a program of its own."""

from __future__ import annotations

import logging

import click
from rich.logging import RichHandler
from rich.text import Text

from streambind.cli.output import err
from streambind.cli.users_code import load_application
from streambind.cli.visible import visible

_ROOTS = ("--spring.", "--streambind.")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("application")
@click.argument("settings", nargs=-1, type=click.UNPROCESSED, metavar="[--key=value]...")
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help="Least level of what is logged.",
)
def run(application: str, settings: tuple[str, ...], log_level: str) -> None:
    """Run APPLICATION until SIGTERM or Ctrl-C.

    APPLICATION is module:attribute, an instance of StreamApplication or a function that makes one. The first
    signal lets it end what is under way, the second ends it at once. --spring.* and --streambind.* override
    its configuration.

    \b
    Examples:
      streambind run sample_app.lecture.app:stream
      streambind run sample_app.lecture.app:stream --spring.profiles.active=docker
    """
    # The application itself reads them from the command line, as it does when it is no command's guest.
    for setting in settings:
        if not setting.startswith(_ROOTS) or "=" not in setting:
            raise click.UsageError(
                f"{setting!r} is no option and no setting; settings are written --spring.x.y=value or "
                "--streambind.x=value"
            )
    _log(log_level.upper())
    load_application(application).run()


def _log(level: str) -> None:
    """Log to standard error, unless the application's module has set up logging of its own by then."""
    if err.is_terminal:
        handler: logging.Handler = _TerminalHandler(
            console=err, show_path=False, log_time_format="%H:%M:%S", omit_repeated_times=False
        )
        handler.setFormatter(_VisibleFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _VisibleFormatter(logging.Formatter):
    """What a broker or a record said may stand in a message; tracebacks keep their lines."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)


class _TerminalHandler(RichHandler):
    def render_message(self, record: logging.LogRecord, message: str) -> Text:
        return Text(message)
