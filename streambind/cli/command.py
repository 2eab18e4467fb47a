"""`streambind` and its subcommands, one file each."""

from __future__ import annotations

import sys
from typing import Any

import click

from streambind.cli.bindings import bindings
from streambind.cli.broker import broker
from streambind.cli.check import check
from streambind.cli.demo import demo
from streambind.cli.dlq import dlq
from streambind.cli.explain import explain
from streambind.cli.failures import told
from streambind.cli.outbox import outbox
from streambind.cli.positions import positions
from streambind.cli.relay import relay
from streambind.cli.replica import replica
from streambind.cli.run import run
from streambind.cli.snapshot import snapshot
from streambind.cli.status import status
from streambind.cli.tail import tail
from streambind.cli.verify import verify


class Commands(click.Group):
    """Tells errors of every command in one way; lists commands in the order given."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            # A terminal that knows no Unicode gets escapes, not a traceback.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        with told():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streambind")
def main() -> None:
    """Declarative Kafka bindings: entity changes out, read models in step.

    \b
    See it work:                      streambind demo
    Find mistakes in a configuration: streambind check config/lecture
    Run a service:                    streambind run sample_app.lecture.app:stream

    Exit codes: 0 all right, 1 failed, 2 wrong command line, 3 a broker, a database or a service does not
    answer.
    """


for command in (
    demo,
    check,
    bindings,
    explain,
    run,
    relay,
    status,
    tail,
    outbox,
    dlq,
    positions,
    verify,
    snapshot,
    replica,
    broker,
):
    main.add_command(command)
