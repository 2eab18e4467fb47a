"""`streambind run`: an application as a program of its own."""

from __future__ import annotations

import click

from streambind.cli.process import log_to_standard_error, process_options
from streambind.cli.users_code import load_application


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("application")
@process_options
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
    log_to_standard_error(log_level)
    load_application(application).run()
