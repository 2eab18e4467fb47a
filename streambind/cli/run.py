"""`streambind run`: an application as a program of its own."""

from __future__ import annotations

import logging

import click
from rich.logging import RichHandler

from streambind.cli.output import err, without_traceback
from streambind.cli.target import load_application


@click.command()
@click.argument("application")
@click.option("--log-level", default="INFO", show_default=True, help="Level of streambind's log.")
@without_traceback
def run(application: str, log_level: str) -> None:
    """Run APPLICATION (module:attribute, an instance or a function that makes one) until SIGTERM or Ctrl-C.

    It drains on the first signal and ends at once on the second.
    """
    stream = load_application(application)
    if not logging.getLogger().handlers:
        handler: logging.Handler = RichHandler(console=err, show_path=False, markup=False)
        if not err.is_terminal:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=log_level.upper(), handlers=[handler])
    stream.run()
