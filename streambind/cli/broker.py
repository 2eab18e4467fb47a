"""`streambind broker`: an embedded Kafka for development, without Java or Docker."""

from __future__ import annotations

import errno
import re
import signal
import threading

import click

from streambind.binders.kafka.embedded import EmbeddedBroker
from streambind.cli.output import write
from streambind.errors import BrokerUnavailableError, ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MOST_PARTITIONS = 1000


def _topics(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, int | None], ...]:
    """Pairs of name and partitions; None where the number is left out."""
    return tuple(_topic(text) for text in texts)


def _topic(text: str) -> tuple[str, int | None]:
    name, colon, digits = text.partition(":")
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise click.BadParameter(f"{name!r} is no name of a topic: letters, digits, '.', '_' and '-'")
    if not colon:
        return name, None
    if not digits.isascii() or not digits.isdigit() or not 1 <= int(digits) <= _MOST_PARTITIONS:
        raise click.BadParameter(f"{text!r}: write NAME or NAME:PARTITIONS, 1 to {_MOST_PARTITIONS}")
    return name, int(digits)


@click.command()
@click.option(
    "--port",
    default=9092,
    type=click.IntRange(0, 65535),
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--topic",
    "topics",
    callback=_topics,
    multiple=True,
    metavar="NAME[:PARTITIONS]",
    help="Make a topic at the start. Repeatable.",
)
@click.option(
    "--partitions",
    default=1,
    type=click.IntRange(1, _MOST_PARTITIONS),
    show_default=True,
    help="Of each --topic without a number. Topics that clients make on first use have 4, whatever this says.",
)
def broker(port: int, topics: tuple[tuple[str, int | None], ...], partitions: int) -> None:
    """Run an embedded Kafka broker until Ctrl-C.

    It speaks Kafka's protocol to clients on this machine, keeps everything in memory, and forgets old records
    beyond a few megabytes per partition: for demos and tests, never for data that matters.

    \b
    Examples:
      streambind broker
      streambind broker --port 0 --topic categoryChanged --topic lectureEnrolled:3
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    embedded = EmbeddedBroker(port, default_partitions=partitions)
    _start(embedded, port)
    with_topics = [_create(embedded, name, count or partitions) for name, count in topics]
    try:
        write("embedded Kafka on [bold]{}[/bold], Ctrl-C ends it", embedded.address)
        for text in with_topics:
            write("{}", text)
        stop.wait()
    finally:
        embedded.stop()


def _create(embedded: EmbeddedBroker, name: str, partitions: int) -> str:
    embedded.create_topic(name, partitions)
    return f"topic {name}, {partitions} partition{'' if partitions == 1 else 's'}"


def _start(embedded: EmbeddedBroker, port: int) -> None:
    try:
        embedded.start()
    except BrokerUnavailableError as error:
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        if number == errno.EADDRINUSE:
            text = f"port {port} is taken, perhaps by another broker: choose one with --port; 0 takes a free one"
        elif number == errno.EACCES:
            text = f"port {port} may not be used by this user: choose one above 1023 with --port"
        else:
            raise
        raise ConfigurationError(text) from error
