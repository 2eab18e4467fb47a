"""`streambind` and its subcommands, one file each."""

from __future__ import annotations

import click

from streambind.cli.broker import broker
from streambind.cli.check import check
from streambind.cli.demo import demo
from streambind.cli.run import run
from streambind.cli.tail import tail


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streambind")
def main() -> None:
    """Declarative Kafka bindings: entity changes out, read models in step."""


for command in (broker, check, demo, run, tail):
    main.add_command(command)
