"""`streambind status`: how a running application fares, or what can be told of it from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live

from streambind.cli.failures import UnreachableError, until_interrupted
from streambind.cli.output import FAILED, json_option, line, out, print_json, print_json_line, show
from streambind.cli.status_fetch import fetch_health
from streambind.cli.status_outside import outside
from streambind.cli.status_screen import health_screen
from streambind.errors import BrokerUnavailableError, DatabaseUnavailableError

_EVERY_S = 2.0
_AWAY = (UnreachableError, BrokerUnavailableError, DatabaseUnavailableError)


@dataclass(frozen=True)
class Report:
    """One look: `word` is up, degraded or down."""

    word: str
    document: Any
    screen: RenderableType


@click.command()
@click.argument("target")
@click.option("--watch", is_flag=True, help="Look every 2 seconds until Ctrl-C.")
@json_option
def status(target: str, watch: bool, as_json: bool) -> None:
    """Show how an application fares.

    TARGET is the address of a running application's health, where it has mounted health_app, and then this is
    what the application itself says. Or it is a configuration folder, or module:attribute, and then what can be
    told from outside: whether streambind's own tables are missing, what waits in the outbox and whether anybody
    relays, how far the groups are and whether they go on.

    \b
    Examples:
      streambind status http://localhost:8080/health
      streambind status http://localhost:8080/health --watch
      streambind status config/lecture

    Exit code 0 up, 1 degraded or down, 3 not reachable.
    """
    look = _look(target)
    if watch:
        _watch(look, as_json)
        return
    report = look()
    if as_json:
        print_json(report.document)
    else:
        show(report.screen)
    if report.word != "up":
        raise SystemExit(FAILED)


def _look(target: str) -> Callable[[], Report]:
    if target.startswith(("http://", "https://")):

        def fetch() -> Report:
            document = fetch_health(target)
            return Report(document["status"], document, health_screen(target, document))

        return fetch
    measure = outside(target)

    def ask() -> Report:
        found = measure()
        return Report(found.word, found.document(), found.screen())

    return ask


def _watch(look: Callable[[], Report], as_json: bool) -> None:
    """Until Ctrl-C, which is how it is meant to end. What does not answer is said, and asked again."""
    with until_interrupted():
        if as_json or not out.is_terminal:
            while True:
                _print_once(look, as_json)
                time.sleep(_EVERY_S)
        with Live(console=out, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_screen(look), refresh=True)
                time.sleep(_EVERY_S)


def _print_once(look: Callable[[], Report], as_json: bool) -> None:
    if not as_json:
        show(_screen(look))
        return
    try:
        print_json_line(look().document)
    except _AWAY as error:
        print_json_line({"status": "unreachable", "error": str(error)})


def _screen(look: Callable[[], Report]) -> RenderableType:
    try:
        return Group(look().screen, line("\n[dim]{}, every {} s, Ctrl-C ends it[/]", _clock(), f"{_EVERY_S:g}"))
    except _AWAY as error:
        return line("[red bold]unreachable[/]  {}\n\n[dim]{}[/]", error, _clock(), lines=True)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
