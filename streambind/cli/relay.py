"""`streambind relay`: the relay of a service as a program of its own."""

from __future__ import annotations

import click

from streambind.application import StreamApplication
from streambind.cli.process import log_to_standard_error, process_options
from streambind.cli.target import location_of, names_code
from streambind.cli.users_code import load_application


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("target", required=False)
@process_options
def relay(target: str | None, settings: tuple[str, ...], log_level: str) -> None:
    """Send what a service has written to its outbox, until SIGTERM or Ctrl-C.

    TARGET is a configuration folder or file, or module:attribute where the database is given in code. No
    listener runs. Any number of relays share the work, those inside of applications included; from one that
    dies the others take over after streambind.outbox.lease. Services that only write set
    streambind.outbox.relay to false.

    The first signal lets it send what is committed, within streambind.shutdown-timeout, the second ends it at
    once. --spring.* and --streambind.* override the configuration.

    \b
    Examples:
      streambind relay config/category
      streambind relay sample_app.category.app:stream --streambind.outbox.lease=5s

    Exit code 1 if it cannot start: wrong configuration, missing tables. A database or a broker that is away
    is waited for.
    """
    log_to_standard_error(log_level)
    if target is not None and names_code(target):
        application = load_application(target)
    else:
        application = StreamApplication(location_of(target))
    application.run(relay_only=True)
