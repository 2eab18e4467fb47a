"""How a replica's difference is shown."""

from __future__ import annotations

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
    text = f"[{colour} bold]{{}}[/]  {{}}: {{}} in the table, {{}} expected"
    write(text, word, replica.name, count(difference.found, "row"), difference.expected)
    if unreadable:
        write("[yellow]{} that could not be read left out[/]", count(unreadable, "message"))
    if moving:
        write("{} on the way", count(moving, "row"))
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


def difference_document(
    replica: Replica, difference: Difference, *, unreadable: int = 0, moving: int = 0, is_cut: bool = False
) -> dict[str, Any]:
    return {
        "replica": replica.name,
        "table": replica.plan.table.name,
        "rows": difference.found,
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
