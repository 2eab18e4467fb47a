"""Which failed messages a command is about: by id, key, time, error and destination."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from streambind.cli.dlq_desk import Desk, Item, desks
from streambind.cli.target import Target
from streambind.errors import DestinationError
from streambind.visible import visible

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Selection:
    """What is asked for; None asks for nothing. `handled`: letters too that were dealt with already."""

    binding: str | None = None
    ids: tuple[str, ...] = ()
    key: str | None = None
    since_ms: int | None = None
    before_ms: int | None = None
    error: str | None = None
    topic: str | None = None
    state: str | None = None
    handled: bool = False

    def find(self, target: Target, *, actor: str | None = None) -> list[tuple[Desk, list[Item]]]:
        """The items by binding; bindings without any are left out.

        Raises:
            DestinationError: there is no such id.
        """
        found: list[tuple[Desk, list[Item]]] = []
        with target.brokers() as brokers:
            for desk in desks(target, self.binding, actor=actor):
                items = [item for item in desk.items(brokers) if self._takes(item)]
                if items:
                    found.append((desk, items))
        missing = set(self.ids) - {item.id for _, items in found for item in items}
        if missing:
            raise DestinationError(
                f"there is no {', '.join(sorted(missing))} (any more): `streambind dlq ls --each` lists the ids"
            )
        return found

    def _takes(self, item: Item) -> bool:
        return all(self._conditions(item))

    def _conditions(self, item: Item) -> Iterator[bool]:
        if self.ids:
            yield item.id in self.ids
        elif not self.handled:
            yield item.state not in ("replayed", "skipped")
        if self.key is not None:
            yield item.message.key is not None and visible(item.message.key) == self.key
        if self.since_ms is not None:
            yield item.failed_ms is not None and item.failed_ms >= self.since_ms
        if self.before_ms is not None:
            yield item.failed_ms is not None and item.failed_ms < self.before_ms
        if self.error is not None:
            yield self.error.lower() in f"{item.error}: {item.text}".lower()
        if self.topic is not None:
            yield item.message.destination == self.topic
        if self.state is not None:
            yield item.state == self.state


def selecting(*, ids: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The arguments of a command that works on a selection: TARGET, perhaps ids, and filters."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--state", help="Only these: retry, gap, dead (parked), open (letters)."),
            click.option("--topic", metavar="DESTINATION", help="Only messages that came from there."),
            click.option("--error", metavar="TEXT", help="Only with this text in the exception or its message."),
            click.option("--since", metavar="TIME", help="Only failed since: 90s, 15m, 2h, 3d or an ISO time."),
            click.option("--before", metavar="TIME", help="Only failed before: as --since."),
            click.option("--key", help="Only of this key, written as `ls` shows it."),
            click.option("--binding", metavar="INPUT", help="Only of this input."),
        ):
            command = option(command)
        if ids:
            command = click.argument("ids", nargs=-1)(command)
        return click.argument("target")(command)

    return decorate


def selection(**given: Any) -> Selection:
    """From the options of `selecting`."""
    since, before = given.pop("since", None), given.pop("before", None)
    return Selection(
        since_ms=None if since is None else _moment_ms(since, "--since"),
        before_ms=None if before is None else _moment_ms(before, "--before"),
        **given,
    )


def _moment_ms(text: str, option: str) -> int:
    if match := re.fullmatch(r"(\d{1,9})([smhd])", text):
        return round((time.time() - int(match[1]) * _UNITS_S[match[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a time nor a length such as 2h", param_hint=option
        ) from error
    return round((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
