"""`streambind dlq`: working with messages that failed for good."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any, BinaryIO

import click

from streambind.cli.dlq_deeds import Deeds, changing, reported
from streambind.cli.dlq_desk import Taken
from streambind.cli.dlq_files import export, import_
from streambind.cli.dlq_lines import document
from streambind.cli.dlq_selection import selecting, selection
from streambind.cli.dlq_view import group_documents, group_table, groups, item_lines, item_table
from streambind.cli.output import (
    count,
    err,
    json_option,
    line,
    out,
    print_json,
    print_json_array,
    show,
    write,
)
from streambind.cli.target import resolve
from streambind.errors import ConfigurationError

_LISTED = 1_000


@click.group()
def dlq() -> None:
    """Messages that failed for good: parked ones, and dead letters on topics.

    TARGET of every command is a configuration folder or file, or module:attribute. Dead letters of Spring services
    are read as well. Filters: --binding, --key, --since, --error, --topic, --state.
    """


dlq.add_command(export)
dlq.add_command(import_)


@dlq.command()
@selecting(ids=False)
@click.option("--each", is_flag=True, help="List each message with its id.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"Of --each so many at most, and count the rest; without it {_LISTED} in a table, all as JSON.",
)
@click.option("--handled", is_flag=True, help="Letters too that were replayed or skipped.")
@json_option
def ls(target: str, each: bool, limit: int | None, as_json: bool, **filters: Any) -> None:
    """Group what failed by its cause.

    \b
    Examples:
      streambind dlq ls config/lecture
      streambind dlq ls config/lecture --each --error KeyError --since 2h

    Exit code 3 if the broker or the database does not answer.
    """
    chosen, resolved = selection(**filters), resolve(target)
    if each and as_json:
        whole = chosen.each(resolved, whole=True)
        print_json_array(document(desk, item) for desk, item in islice(whole, limit))
        _tell_rest(0 if limit is None else sum(1 for _ in chosen.each(resolved)) - limit)
        return
    found = chosen.each(resolved)
    if each:
        shown = list(islice(found, limit or _LISTED))
        if shown:
            show(item_table(shown))
            _tell_rest(sum(1 for _ in found))
            return
    made = [] if each else groups(found)
    if as_json:
        print_json(group_documents(made))
    elif made:
        show(group_table(made))
    else:
        write("nothing has failed for good")


@dlq.command("show")
@click.argument("target")
@click.argument("id_", metavar="ID")
@json_option
def show_(target: str, id_: str, as_json: bool) -> None:
    """Show one message with its cause, headers and payload. ID is one of `ls --each`.

    \b
    Example:
      streambind dlq show config/lecture error.x.CGR-lecture-x/0/12
    """
    [(desk, item)] = selection(ids=(id_,)).each(resolve(target), whole=True)
    if as_json:
        print_json(document(desk, item))
        return
    for part in item_lines(desk, item):
        out.print(part)


@dlq.command()
@selecting(ids=True)
@click.option("--force", is_flag=True, help="Also what later events have superseded, and what was replayed often.")
@click.option("--accept-gaps", is_flag=True, help="Wait no longer for predecessors that are lost.")
@changing
def retry(
    target: str,
    force: bool,
    accept_gaps: bool,
    dry_run: bool,
    rate: float | None,
    by: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """Have failed messages handled again, by the group that failed and nobody else, each key's in order.

    Parked keys get all their attempts anew. Letters join the parked messages of their key in the group's database;
    they stay on their topic, and running this twice replays nothing twice.

    \b
    Examples:
      streambind dlq retry config/lecture --error "no such category" --dry-run
      streambind dlq retry config/lecture --binding in-categoryChanged --rate 50

    Exit code 1 if letters were left alone that need a decision, 3 if the broker or the database does not answer.
    """
    found = selection(**filters).take(resolve(target), actor=by)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        for taken in found:
            deeds.retry(taken, force=force, accept_gaps=accept_gaps)


@dlq.command()
@selecting(ids=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also what waits for a predecessor, and whatever waits before it.")
@changing
def skip(
    target: str,
    yes: bool,
    force: bool,
    dry_run: bool,
    rate: float | None,
    by: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """Leave messages out for good; who did it is written down.

    Parked ones are deleted, and what waits behind them goes on. Letters stay on their topic.

    \b
    Example:
      streambind dlq skip config/lecture parked/17
    """
    chosen = selection(**filters)
    if not any(
        (chosen.ids, chosen.key, chosen.error, chosen.topic, chosen.since_ms, chosen.before_ms, chosen.state)
    ):
        raise click.UsageError("say which: ids of `streambind dlq ls --each`, or a filter")
    found = chosen.take(resolve(target), actor=by)
    _confirm(found, "leave out", yes or dry_run)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        for taken in found:
            deeds.skip(taken, force=force)


@dlq.command()
@selecting(ids=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also what waits for a predecessor, and whatever waits before it.")
@changing
def purge(
    target: str,
    yes: bool,
    force: bool,
    dry_run: bool,
    rate: float | None,
    by: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """Leave out every parked message of the dead keys that the filters take.

    What is deleted cannot be brought back: `streambind dlq export` first. Topics are left to their retention.

    \b
    Example:
      streambind dlq purge config/lecture --before 30d --dry-run
    """
    filters["state"] = "dead"
    found = selection(**filters).take(resolve(target), actor=by)
    _confirm(found, "delete", yes or dry_run)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        for taken in found:
            deeds.skip(taken, force=force)


@dlq.command()
@click.argument("target")
@click.argument("id_", metavar="ID")
@click.option("--payload", type=click.File("rb"), required=True, help="A file with the new payload; - for input.")
@click.option("--header", "headers", multiple=True, metavar="NAME=TEXT", help="Set a header. Repeatable.")
@changing
def edit(
    target: str,
    id_: str,
    payload: BinaryIO,
    headers: tuple[str, ...],
    dry_run: bool,
    rate: float | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Change a parked message where it waits; who did it is written down. Then `retry` it.

    A letter on a topic is retried first, or exported, changed and imported.

    \b
    Example:
      streambind dlq edit config/lecture parked/17 --payload mended.json
    """
    [(desk, item)] = selection(ids=(id_,)).each(resolve(target), actor=by, whole=True)
    if desk.stored is None or item.parked is None:
        raise ConfigurationError(
            f"{id_} is on a topic, where nothing can be changed: export, change and import it"
        )
    split = [header.partition("=") for header in headers]
    if not all(name and equals for name, equals, _ in split):
        raise click.BadParameter("write NAME=TEXT", param_hint="--header")
    named = {name: value.encode() for name, _, value in split}
    changed = [(name, value) for name, value in item.message.raw_headers if name not in named]
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        deeds.edit(desk, item.parked, payload.read(), [*changed, *named.items()] if named else None)


def _tell_rest(number: int) -> None:
    if number > 0:
        err.print(line("and {} more (--limit)", count(number, "message")))


def _confirm(found: Sequence[Taken], what: str, agreed: bool) -> None:
    number = sum(len(taken) for taken in found)
    if number and not agreed and sys.stdin.isatty():
        click.confirm(f"{what} {count(number, 'message')} for good?", abort=True, err=True)
