"""`streambind dlq export` and `import`: failed messages as files, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TextIO

import click

from streambind.cli.dlq_deeds import Deeds, changing, reported
from streambind.cli.dlq_desk import desks
from streambind.cli.dlq_lines import document, letter_of
from streambind.cli.dlq_selection import selecting, selection
from streambind.cli.output import count, print_json_line, write
from streambind.cli.target import resolve
from streambind.errors import ConfigurationError
from streambind.visible import visible_json


@click.command()
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
    found = selection(**filters).each(resolve(target), whole=True)
    documents = (document(desk, item) for desk, item in found)
    if output is None or str(output) == "-":
        for each in documents:
            print_json_line(each)
        return
    written = 0
    with _for_its_owner(output) as file:
        for written, each in enumerate(documents, 1):  # noqa: B007 -- counted for the line below.
            file.write(visible_json(each) + "\n")
    write("wrote {} to {}", count(written, "message"), output)


@click.command("import")
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
