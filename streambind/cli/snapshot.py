"""`streambind snapshot`: the current rows of a published class as events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from streambind.cli.failures import half_done
from streambind.cli.output import count, err, json_option, line, print_json, write
from streambind.cli.target import Target, ask_database, database_named, resolve
from streambind.configuration.properties import Publish
from streambind.errors import ConfigurationError
from streambind.event import JobType
from streambind.outbound.snapshot import Place, Snapshot, Step

_PAUSES_S = (0.05, 2.0)
"""The first pause and the longest, where something is in the way."""


@click.command()
@click.argument("target")
@click.argument("publisher")
@click.option("--where", metavar="SQL", help="Only rows for which this holds: as after WHERE.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many rows a second.")
@click.option("--chunk", type=click.IntRange(1, 5000), default=500, show_default=True, help="Rows a transaction.")
@click.option(
    "--job-type",
    type=click.Choice(["UPDATE", "INSERT"]),
    default="UPDATE",
    show_default=True,
    help="What the events say has happened to the rows.",
)
@click.option("--restart", is_flag=True, help="Begin anew, although a snapshot is unfinished.")
@click.option("--dry-run", is_flag=True, help="Count the rows; change nothing.")
@json_option
def snapshot(
    target: str,
    publisher: str,
    where: str | None,
    rate: float | None,
    chunk: int,
    job_type: str,
    restart: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send the current rows of what is published to PUBLISHER, an output binding, as events again.

    TARGET is the application, module:attribute. For read models that begin, or have lost something. The rows go
    through the outbox, with the next number of their key: nothing that changes meanwhile can be overtaken. Each
    event has the header sb-snapshot. All groups of the topic get them: what they have already, comes again.

    It pauses while much waits in the outbox; a relay must run. Called again after an interruption, it goes on
    where it was; two at once share the work.

    \b
    Examples:
      streambind snapshot shop.app:stream out-categoryChanged --dry-run
      streambind snapshot shop.app:stream out-categoryChanged --rate 500
    """
    resolved = resolve(target)
    name = _output(resolved, publisher)
    database = resolved.database()
    ask_database(database, lambda: None)
    with database_named(database):
        taken = Snapshot(database, name, where=where, chunk=chunk)
        try:
            rows = taken.count()
        except ConfigurationError as error:
            raise click.BadParameter(str(error), param_hint="--where") from error
        if dry_run:
            unfinished = taken.unfinished()
            if as_json:
                print_json(_document(name, rows, None, unfinished, dry_run=True))
            else:
                _show_plan(rows, unfinished)
            return
        unfinished = None if restart else taken.unfinished()
        begun = taken.begin(JobType(job_type), anew=restart)
        if unfinished is not None:
            err.print(line("goes on after {}", count(begun.rows, "row")))
        with half_done(lambda: "the same command goes on, --restart begins anew"):
            place = _take(taken, begun, total=sum(rows.values()), rate=rate)
    if as_json:
        print_json(_document(name, rows, place, unfinished, dry_run=False))
    else:
        write("[green bold]done[/]  {}: {} as {}", name, count(place.rows, "row"), count(place.events, "event"))


def _output(target: Target, publisher: str) -> str:
    """
    Raises:
        ConfigurationError: there is no such output, or its events do not leave by the outbox.
    """
    application = target.application
    if application is None:
        raise ConfigurationError("what is published stands in the code: name the application as module:attribute")
    name = application.configuration.find_binding(publisher)
    plan = application.blueprint.outputs.get(name or "")
    if plan is None or name is None:
        known = ", ".join(sorted(application.blueprint.outputs)) or "none"
        raise ConfigurationError(f"{publisher} is no output binding; such are: {known}")
    if plan.publish is not Publish.OUTBOX:
        raise ConfigurationError(
            f"{name} has producer.publish: {plan.publish}: only by the outbox the events of a snapshot cannot "
            "overtake those of changes"
        )
    return name


def _take(taken: Snapshot, begun: Place, *, total: int, rate: float | None) -> Place:
    """All steps, at the rate; returns where the last one was."""
    place, began = begun, time.monotonic()
    pause_s = _PAUSES_S[0]
    with _bar(total) as show:
        show(place.rows, None)
        while True:
            step: Step = taken.step(begun.snapshot)
            place = step.place or place
            show(place.rows, step.waits)
            if step.done:
                return place
            if step.waits is not None:
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSES_S[1])
                continue
            pause_s = _PAUSES_S[0]
            if rate is not None:
                due = began + (place.rows - begun.rows) / rate
                time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int, str | None], None]]:
    """Shows on a terminal how many rows are done; elsewhere only what it waits for."""
    told: str | None = None
    with click.progressbar(length=total, label="rows", file=sys.stderr, hidden=not err.is_terminal) as bar:

        def show(rows: int, waits: str | None) -> None:
            nonlocal told
            bar.update(min(rows, total) - bar.pos)
            if waits is not None and told is None:
                err.print(line("waits: {}", waits))
            told = waits

        yield show


def _show_plan(rows: dict[str, int], unfinished: Place | None) -> None:
    for each, number in rows.items():
        write("{}: {}", each, count(number, "row"))
    if unfinished is not None:
        write("an unfinished snapshot would go on after {}", count(unfinished.rows, "row"))


def _document(
    name: str, rows: dict[str, int], place: Place | None, unfinished: Place | None, *, dry_run: bool
) -> dict[str, Any]:
    """`rows` and `events` are those of the whole snapshot, `unfinished` the rows after which it went on, or would;
    `by_class`: the rows that there are."""
    return {
        "binding": name,
        "dry_run": dry_run,
        "by_class": rows,
        "snapshot": None if place is None else str(place.snapshot),
        "rows": 0 if place is None else place.rows,
        "events": 0 if place is None else place.events,
        "unfinished": None if unfinished is None else unfinished.rows,
    }
