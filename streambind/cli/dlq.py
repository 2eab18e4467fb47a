"""`streambind dlq`: working with messages that failed for good."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click

from streambind.cli.dlq_deeds import Deeds, reported
from streambind.cli.dlq_desk import Desk, Item, desks
from streambind.cli.dlq_lines import document, letter_of
from streambind.cli.dlq_selection import selecting, selection
from streambind.cli.dlq_view import group_documents, group_table, groups, item_lines, item_table
from streambind.cli.output import (
    count,
    json_option,
    out,
    print_json,
    print_json_line,
    show,
    write,
)
from streambind.cli.target import resolve
from streambind.errors import ConfigurationError
from streambind.visible import visible_json

Found = list[tuple[Desk, list[Item]]]


@click.group()
def dlq() -> None:
    """Messages that failed for good: parked ones, and dead letters on topics.

    TARGET of every command is a configuration folder or file, or module:attribute. Dead letters of Spring services
    are read as well. Filters: --binding, --key, --since, --error, --topic, --state.
    """


def changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what changes something."""
    for option in (
        json_option,
        click.option("--by", metavar="NAME", help="Who does it; without it user@host."),
        click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many per second."),
        click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing."),
    ):
        command = option(command)
    return command


@dlq.command()
@selecting(ids=False)
@click.option("--each", is_flag=True, help="List each message with its id.")
@click.option("--handled", is_flag=True, help="Letters too that were replayed or skipped.")
@json_option
def ls(target: str, each: bool, as_json: bool, **filters: Any) -> None:
    """Group what failed by its cause.

    \b
    Examples:
      streambind dlq ls config/lecture
      streambind dlq ls config/lecture --each --error KeyError --since 2h

    Exit code 3 if the broker or the database does not answer.
    """
    found = selection(**filters).find(resolve(target))
    if as_json:
        whole = [document(desk, item) for desk, items in found for item in items]
        print_json(whole if each else group_documents(groups(found)))
    elif not found:
        write("nothing has failed for good")
    else:
        show(item_table(found) if each else group_table(groups(found)))


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
    [(desk, [item])] = selection(ids=(id_,)).find(resolve(target))
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
    found = selection(**filters).find(resolve(target), actor=by)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        for desk, items in found:
            deeds.retry(desk, items, force=force, accept_gaps=accept_gaps)


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
    found = chosen.find(resolve(target), actor=by)
    _confirm(found, "leave out", yes or dry_run)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        for desk, items in found:
            deeds.skip(desk, items, force=force)


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
    found = selection(**filters).find(resolve(target), actor=by)
    _confirm(found, "delete", yes or dry_run)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        for desk, items in found:
            deeds.skip(desk, items, force=force)


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
    [(desk, [item])] = selection(ids=(id_,)).find(resolve(target), actor=by)
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


@dlq.command()
@selecting(ids=True)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file, for you alone.")
@click.option("--handled", is_flag=True, help="Letters too that were replayed or skipped.")
def export(target: str, output: Path | None, **filters: Any) -> None:
    """Write messages as JSON lines, with all their bytes: text where they are UTF-8, else base64.

    They hold what the messages hold: personal data too.

    \b
    Example:
      streambind dlq export config/lecture --state dead -o dead.jsonl
    """
    found = selection(**filters).find(resolve(target))
    documents = (document(desk, item) for desk, items in found for item in items)
    if output is None or str(output) == "-":
        for each in documents:
            print_json_line(each)
        return
    with _for_its_owner(output) as file:
        for each in documents:
            file.write(visible_json(each) + "\n")
    write("wrote {} to {}", count(sum(len(items) for _, items in found), "message"), output)


@dlq.command("import")
@click.argument("target")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--binding", required=True, metavar="INPUT", help="The input whose group is to handle them.")
@click.option("--force", is_flag=True, help="Also what later events have superseded, and what was replayed often.")
@changing
def import_(
    target: str,
    file: TextIO,
    binding: str,
    force: bool,
    dry_run: bool,
    rate: float | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Have messages of an export, perhaps changed, handled by one input: FILE, or - for input.

    A letter that was replayed already, or a message that waits already, is not imported again.

    \b
    Example:
      streambind dlq import config/lecture dead.jsonl --binding in-categoryChanged
    """
    try:
        letters = [letter_of(line, number) for number, line in enumerate(file, 1) if line.strip()]
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file.name} is not UTF-8 text; nothing was imported") from error
    [desk] = desks(resolve(target), binding, actor=by)
    with reported(Deeds(dry_run=dry_run, rate=rate), as_json) as deeds:
        deeds.replay(desk.require_replay(), letters, "importing", force=force)


def _for_its_owner(path: Path) -> TextIO:
    """A file that only its owner can read, if it is new.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        return open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _confirm(found: Found, what: str, agreed: bool) -> None:
    number = sum(len(items) for _, items in found)
    if number and not agreed and sys.stdin.isatty():
        click.confirm(f"{what} {count(number, 'message')} for good?", abort=True, err=True)
