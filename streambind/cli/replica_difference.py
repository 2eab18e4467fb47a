"""How a replica's difference is shown, and what was done about it, or would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streambind.cli.output import count, print_table, write
from streambind.replicas.comparison import Difference
from streambind.replicas.replica import Replica

_MEANINGS = {
    "missing": "expected, and not in the table",
    "extra": "in the table, and not expected",
    "wrong": "other values than expected",
}
_CUT = "; the topic has lost its beginning, so their events may be gone"


def show_difference(
    replica: Replica, difference: Difference, *, unreadable: int = 0, moving: int = 0, is_cut: bool = False
) -> None:
    """Counts, and some keys."""
    colour, word = ("green", "equal") if difference.is_none else ("red", "different")
    text = f"[{colour} bold]{{}}[/]  {{}}: {{}} in the table{{}}, {{}} expected"
    idle = f" ({difference.idle} of them {_idle(replica)})" if difference.idle else ""
    write(text, word, replica.name, count(difference.found, "row"), idle, difference.expected)
    if unreadable:
        write("[yellow]{} that could not be read left out[/]", count(unreadable, "message"))
    if moving:
        write("{} on the way", count(moving, "row"))
    elif difference.is_none and difference.expected not in (difference.found, difference.found - difference.idle):
        write("rows came and went meanwhile: the two numbers are of different moments")
    counts = {"missing": difference.missing, "extra": difference.extra, "wrong": difference.wrong}
    rows = [
        (kind, number, _MEANINGS[kind] + (_CUT if is_cut and kind == "extra" else ""))
        for kind, number in counts.items()
        if number
    ]
    if rows:
        print_table(("kind", "rows", "meaning"), rows, empty="")
        write("")
        names = [column.name for column in replica.plan.key]
        examples = [(kind, *key) for kind, keys in difference.examples.items() for key in keys]
        print_table(("kind", *names), examples, empty="")
        if hidden := sum(counts.values()) - len(examples):
            write("and {} more (--limit)", count(hidden, "row"))


def _idle(replica: Replica) -> str:
    return "kept as deleted" if replica.plan.mark.soft_delete is not None else "only of other sources"


def difference_document(
    replica: Replica, difference: Difference, *, unreadable: int = 0, moving: int = 0, is_cut: bool = False
) -> dict[str, Any]:
    return {
        "replica": replica.name,
        "table": replica.plan.table.name,
        "rows": difference.found,
        "idle": difference.idle,
        "expected": difference.expected,
        "missing": difference.missing,
        "extra": difference.extra,
        "wrong": difference.wrong,
        "unreadable": unreadable,
        "moving": moving,
        "log_is_cut": is_cut,
        "examples": {
            kind: [[str(part) for part in key] for key in keys] for kind, keys in difference.examples.items()
        },
    }


@dataclass(frozen=True, slots=True)
class Mending:
    """What a repair found to do (`to_send`, `to_delete`), what it did, what it left because it was told to
    (`kept`), and why a dry run says that nothing would be done (`refused`)."""

    to_send: int
    to_delete: int
    sent: int
    deleted: int
    kept: int
    refused: Sequence[str]
    dry_run: bool

    def show(self) -> None:
        for doubt in self.refused:
            write("[red bold]would be refused[/]  {}", doubt)
        if not self.dry_run:
            write("{} sent again, {} deleted", count(self.sent, "row"), count(self.deleted, "row"))
        elif not self.refused:
            write("would be: {} sent again, {} deleted", count(self.to_send, "row"), count(self.to_delete, "row"))
        if self.kept:
            write("{} that the source does not have: kept (--keep-extra)", count(self.kept, "row"))

    def document(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "to_send": self.to_send,
            "to_remove": self.to_delete,
            "sent": self.sent,
            "removed": self.deleted,
            "kept": self.kept,
            "refused": list(self.refused),
        }


def show_swap(difference: Difference, *, swapped: bool, would_swap: bool, dry_run: bool) -> None:
    """What became of the tables."""
    lost = count(difference.extra, "row")
    if swapped:
        write("[green bold]swapped[/]  the old table is kept until `streambind replica confirm`")
    elif would_swap:
        write("would be: swapped")
    elif dry_run:
        write("would be: [red bold]not swapped[/], {} would be gone (--force)", lost)
    else:
        write("[red bold]not swapped[/]  {} would be gone (--force)", lost)
    if not swapped:
        again = "the same without --dry-run" if dry_run else "the next rebuild"
        write("the new table is kept: {} goes on with it, --abandon drops it", again)
