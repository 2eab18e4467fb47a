"""`streambind broker`: an embedded Kafka for development, without Java or Docker."""

from __future__ import annotations

import signal
import threading

import click

from streambind.binders.kafka.embedded import EmbeddedBroker
from streambind.cli.output import out, without_traceback


@click.command()
@click.option("--port", default=9092, show_default=True, help="Port on localhost; 0 picks a free one.")
@click.option("--topic", "topics", multiple=True, metavar="NAME[:PARTITIONS]", help="Create a topic. Repeatable.")
@click.option("--partitions", default=1, show_default=True, help="Partitions of topics made on first use.")
@without_traceback
def broker(port: int, topics: tuple[str, ...], partitions: int) -> None:
    """Run an embedded Kafka broker until Ctrl-C.

    It speaks Kafka's protocol to any client, keeps everything in memory, and forgets old records beyond a few
    megabytes per partition: for demos and tests, never for data that matters.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with EmbeddedBroker(port=port, default_partitions=partitions) as embedded:
        for topic in topics:
            name, _, count = topic.partition(":")
            if count and not count.isdigit():
                raise click.BadParameter(f"{topic!r} is not NAME or NAME:PARTITIONS", param_hint="--topic")
            embedded.create_topic(name, int(count or partitions))
        out.print(f"embedded Kafka on [bold]{embedded.address}[/bold], Ctrl-C ends it")
        stop.wait()
