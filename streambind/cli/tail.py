"""`streambind tail`: what travels on a destination, as people read it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import islice

import click

from streambind.binders.kafka import KAFKA
from streambind.binding.binder import Binder
from streambind.cli.failures import until_interrupted
from streambind.cli.output import err, json_option, line
from streambind.cli.tail_view import print_message, show_message
from streambind.cli.target import BROKER_TIMEOUT_MS, CLOSE_TIMEOUT_MS, broker_named, has_configuration, resolve
from streambind.configuration import Configuration
from streambind.errors import ConfigurationError, DestinationError
from streambind.message import Message

_POLL_S = 0.25


@click.command()
@click.argument("destination")
@click.option("--from-beginning", is_flag=True, help="Show what is there already; without it only what comes.")
@click.option("-n", "--lines", type=click.IntRange(min=1), help="End after this many messages.")
@click.option("--no-follow", is_flag=True, help="End at what is the end now.")
@click.option("--config", "location", metavar="TARGET", help="Configuration folder or file, or module:attribute.")
@click.option("--brokers", metavar="HOST:PORT", help="Kafka to read from, without any configuration.")
@click.option("--binder", "binder_name", metavar="NAME", help="Which configured binder, if there are several.")
@click.option("--headers", "all_headers", is_flag=True, help="Show every header.")
@json_option
def tail(
    destination: str,
    from_beginning: bool,
    lines: int | None,
    no_follow: bool,
    location: str | None,
    brokers: str | None,
    binder_name: str | None,
    all_headers: bool,
    as_json: bool,
) -> None:
    """Show the messages of DESTINATION (a topic) as they come, until Ctrl-C.

    No group is joined and nothing is changed. Times are in UTC. The headers of the machinery (contentType,
    spring_json_header_types, sb-*) are shown with --headers. With --json each message is one line of JSON.

    \b
    Examples:
      streambind tail categoryChanged --brokers localhost:9092
      streambind tail categoryChanged --config config/lecture --from-beginning
      streambind tail categoryChanged --json | jq .payload
    """
    show: Callable[[Message], None] = print_message
    if not as_json:
        show = lambda message: show_message(message, all_headers=all_headers)  # noqa: E731
    with _binder(location, brokers, binder_name) as binder, until_interrupted():
        messages = _messages(binder, destination, from_beginning=from_beginning, follow=not no_follow)
        for message in islice(messages, lines):
            show(message)


@contextlib.contextmanager
def _binder(location: str | None, brokers: str | None, name: str | None) -> Iterator[Binder]:
    if brokers is not None:
        with kafka_at(brokers) as binder:
            yield binder
        return
    if location is None and not has_configuration():
        raise ConfigurationError(
            "which broker? name it with --brokers HOST:PORT, or a configuration with --config config/lecture"
        )
    target = resolve(location)
    with target.brokers() as asked:
        name = name or _binder_name(target.configuration)
        with asked.named(name):
            yield asked.factory.binder(name)


def _binder_name(configuration: Configuration) -> str:
    """The only binder, or the default one."""
    names = {configuration.binder_name(binding) for binding in configuration.properties.bindings}
    if len(names) > 1:
        raise ConfigurationError(
            f"several binders are in use: choose one with --binder: {', '.join(sorted(names))}"
        )
    return names.pop() if names else configuration.binder_name("")


@contextlib.contextmanager
def kafka_at(brokers: str) -> Iterator[Binder]:
    """A binder for a Kafka that no configuration names."""
    binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": brokers}))
    try:
        with broker_named(brokers):
            yield binder
    finally:
        binder.close(CLOSE_TIMEOUT_MS)


def _messages(binder: Binder, destination: str, *, from_beginning: bool, follow: bool) -> Iterator[Message]:
    """Messages in the order they come; within one read sorted by time, since partitions have no common order."""
    info = binder.describe(destination, BROKER_TIMEOUT_MS)
    if info is None and not follow:
        raise DestinationError(f"destination {destination!r} does not exist")
    if info is None:
        err.print(line("waiting for destination {}, which does not exist yet", destination))
    elif follow and not from_beginning and err.is_terminal:
        err.print(line("[dim]new messages of {}, Ctrl-C ends it[/]", destination))
    positions = {} if info is None else dict(info.starts if from_beginning else info.ends)
    while True:
        ends = {} if info is None else info.ends
        behind = {p: at for p, at in positions.items() if at < ends.get(p, 0)}
        batch = binder.read(destination, behind, BROKER_TIMEOUT_MS) if behind else ()
        yield from sorted(batch, key=lambda m: (m.timestamp_ms or 0, m.partition or 0, m.offset or 0))
        for message in batch:
            positions[message.partition or 0] = (message.offset or 0) + 1
        if not batch:
            if not follow:
                return
            time.sleep(_POLL_S)
        info = binder.describe(destination, BROKER_TIMEOUT_MS)
        for partition, start in () if info is None else info.starts.items():
            # Records that retention has removed meanwhile cannot be shown.
            positions[partition] = max(positions.get(partition, start), start)
