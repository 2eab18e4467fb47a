"""`streambind tail`: what travels on a destination, as people read it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import click
from rich.markup import escape
from rich.syntax import Syntax

from streambind.binders.kafka import KAFKA
from streambind.binding.binder import Binder
from streambind.cli.output import out, print_json, without_traceback
from streambind.cli.target import resolve
from streambind.errors import DestinationError
from streambind.message import CONTENT_TYPE, Message

TIMEOUT_MS = 10_000
POLL_S = 0.25
_UNSHOWN = ("spring_json_header_types", CONTENT_TYPE)


@click.command()
@click.argument("destination")
@click.option("--from-beginning", is_flag=True, help="Show what is there already; without it only what comes.")
@click.option("-n", "--lines", type=click.IntRange(min=1), help="End after this many messages.")
@click.option("--no-follow", is_flag=True, help="End at the current end.")
@click.option("--config", "location", metavar="TARGET", help="Configuration folder or module:attribute.")
@click.option("--brokers", metavar="HOST:PORT", help="Kafka to read from, without any configuration.")
@click.option("--binder", "binder_name", metavar="NAME", help="Which configured binder, if there are several.")
@click.option("--headers", "all_headers", is_flag=True, help="Show every header.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per message.")
@without_traceback
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
    """Show the messages of DESTINATION (a topic) with key, time, headers and payload."""
    binder = _binder(location, brokers, binder_name)
    try:
        messages = _messages(binder, destination, from_beginning=from_beginning, follow=not no_follow)
        for message in islice(messages, lines):
            if as_json:
                _show_json(message)
            else:
                show(message, all_headers=all_headers)
    except KeyboardInterrupt:
        return
    finally:
        binder.close(1000)


def _binder(location: str | None, brokers: str | None, name: str | None) -> Binder:
    if brokers is not None:
        return KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": brokers}))
    target = resolve(location)
    target.configuration.require_valid()
    return target.binders().binder(name or target.configuration.binder_name(""))


def _messages(binder: Binder, destination: str, *, from_beginning: bool, follow: bool) -> Iterator[Message]:
    """Messages in the order they come; within one read sorted by time, since partitions have no common order."""
    info = binder.describe(destination, TIMEOUT_MS)
    if info is None and not follow:
        raise DestinationError(f"destination {destination!r} does not exist")
    positions = {} if info is None else dict(info.starts if from_beginning else info.ends)
    while True:
        batch = binder.read(destination, positions, TIMEOUT_MS) if positions else ()
        yield from sorted(batch, key=lambda m: (m.timestamp_ms or 0, m.partition or 0, m.offset or 0))
        for message in batch:
            positions[message.partition or 0] = (message.offset or 0) + 1
        if batch:
            continue
        if not follow:
            return
        time.sleep(POLL_S)
        info = binder.describe(destination, TIMEOUT_MS)
        for partition, start in () if info is None else info.starts.items():
            positions.setdefault(partition, start)


def show(message: Message, *, all_headers: bool) -> None:
    """One message as people read it: where, when, key, headers, then the payload."""
    key = "" if message.key is None else f"key={_text(message.key)}"
    moment = datetime.fromtimestamp((message.timestamp_ms or 0) / 1000, UTC)
    headers = [
        f"{name}={_text(value)}"
        for name, value in message.raw_headers
        if all_headers or not (name in _UNSHOWN or name.startswith("sb-"))
    ]
    line = "  ".join(filter(None, [f"{moment:%H:%M:%S}", key, *headers]))
    out.print(f"[bold]p{message.partition} @{message.offset}[/bold]  {escape(line)}")
    payload = "null" if message.payload is None else _text(message.payload)
    if out.is_terminal and payload.startswith(("{", "[")):
        out.print(Syntax("  " + payload, "json", background_color="default", word_wrap=True))
    else:
        out.print("  " + payload, markup=False)


def _show_json(message: Message) -> None:
    print_json(
        {
            "destination": message.destination,
            "partition": message.partition,
            "offset": message.offset,
            "timestampMs": message.timestamp_ms,
            "key": None if message.key is None else _text(message.key),
            "headers": [[name, _text(value)] for name, value in message.raw_headers],
            "payload": _json_or_text(message.payload),
        }
    )


def _json_or_text(payload: bytes | None) -> object:
    if payload is None:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return _text(payload)


def _text(value: bytes | None) -> str:
    return "null" if value is None else value.decode(errors="backslashreplace")
