"""Which failed messages a command is about: by id, key, time, error and destination."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from streambind.cli.dlq_desk import OPEN, Desk, Item, Taken, desks
from streambind.cli.target import Brokers, Target
from streambind.errors import DestinationError
from streambind.inbound.parked_keys import ParkedState
from streambind.inbound.parked_listing import ParkedFilter
from streambind.visible import visible

_PARKED = tuple(str(state) for state in ParkedState)
_OF_LETTERS = (OPEN, "replayed", "skipped")
_PREFIX = "parked/"
_NAMED = 1_000
"""How many ids are named to a database at once; more are looked for among all."""

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

    def each(
        self, target: Target, *, actor: str | None = None, whole: bool = False
    ) -> Iterator[tuple[Desk, Item]]:
        """The items by binding, read as they are taken; `whole`: parked ones with payload and headers.

        Raises:
            DestinationError: there is no such id; then there are no items.
        """
        found = self._each(target, actor, whole)
        if self.ids:
            named = list(found)
            missing = set(self.ids) - {item.id for _, item in named}
            if missing:
                names = ", ".join(sorted(missing))
                raise DestinationError(f"there is no {names} (any more): `streambind dlq ls --each` lists the ids")
            found = iter(named)
        yield from found

    def take(self, target: Target, *, actor: str | None = None) -> list[Taken]:
        """What a command works on; bindings without any are left out.

        Raises:
            DestinationError: there is no such id.
        """
        taken: dict[str, Taken] = {}
        for desk, item in self.each(target, actor=actor):
            taken.setdefault(desk.name, Taken(desk)).add(item)
        return list(taken.values())

    def _each(self, target: Target, actor: str | None, whole: bool) -> Iterator[tuple[Desk, Item]]:
        with target.brokers() as brokers:
            for desk in desks(target, self.binding, actor=actor):
                for item in self._items(desk, brokers, whole=whole):
                    if self._takes(item):
                        yield desk, item

    def _items(self, desk: Desk, brokers: Brokers, *, whole: bool) -> Iterator[Item]:
        """Of each store that is asked for."""
        if self._asks(_PARKED, _is_parked):
            yield from desk.parked(self._parked(), whole=whole)
        if self._asks(_OF_LETTERS, _is_letter):
            yield from desk.letters(brokers)

    def _asks(self, states: Collection[str], is_one: Callable[[str], bool]) -> bool:
        """Whether anything of one store can be meant."""
        return self.state in (None, *states) and (not self.ids or any(map(is_one, self.ids)))

    def _parked(self) -> ParkedFilter:
        """What the database can tell of it; what it cannot, `_takes` tells."""
        ids = [int(identity.removeprefix(_PREFIX)) for identity in self.ids if _is_parked(identity)]
        has_escapes = self.key is not None and "\\" in self.key
        return ParkedFilter(
            ids=frozenset(ids) if 0 < len(ids) <= _NAMED else None,
            destination=self.topic,
            key=None if self.key is None or has_escapes else self.key.encode("utf-8", "surrogateescape"),
            state=None if self.state is None else ParkedState(self.state),
            error=self.error if self.error is not None and self.error.isascii() else None,
            since_ms=self.since_ms,
            before_ms=self.before_ms,
        )

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


def _is_parked(identity: str) -> bool:
    return re.fullmatch(r"parked/[0-9]{1,18}", identity) is not None


def _is_letter(identity: str) -> bool:
    return not identity.startswith(_PREFIX)


def selecting(*, ids: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The arguments of a command that works on a selection: TARGET, perhaps ids, and filters."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--state",
                type=click.Choice([*_PARKED, *_OF_LETTERS]),
                help="Only these: retry, gap, dead (parked); open (letters), replayed, skipped (--handled).",
            ),
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
