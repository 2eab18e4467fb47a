"""`streambind positions`: where the groups stand, in the database or at the broker, and moving them."""

from __future__ import annotations

import click

from streambind.cli.output import FAILED, age, json_option, print_json, print_table, write
from streambind.cli.plan import inputs_with_group
from streambind.cli.positions_reset import reset
from streambind.cli.progress import Lane, Progress, measured
from streambind.cli.target import resolve


@click.group()
def positions() -> None:
    """Where the groups stand, and moving them.

    Where a listener takes a session, or a replica is kept, the position
    is in the database, else it is what the group has reported to the
    broker.

    TARGET of every command is a configuration folder or file, or
    module:attribute.
    """


positions.add_command(reset)


@positions.command()
@click.argument("target")
@click.argument("binding", required=False)
@json_option
def show(target: str, binding: str | None, as_json: bool) -> None:
    """Show each position beside what the broker holds, of all inputs with a group or of one BINDING.

    \b
    Example:
      streambind positions show config/lecture

    Exit code 1 if a position means nothing any more, 3 if the broker or the database does not answer.
    """
    resolved = resolve(target)
    inputs = measured(resolved, inputs_with_group(resolved, binding))
    lanes = [(measure, lane) for measure in inputs for lane in measure.lanes]
    if as_json:
        print_json([_document(measure, lane) for measure, lane in lanes])
    else:
        columns = ("binding", "partition", "group", "position", "in", "log", "lag", "moved", "state")
        print_table(columns, [_row(*each) for each in lanes], empty="no input has a group")
        for _, lane in lanes:
            if lane.lost is not None:
                write("\n[red]{}[/]", lane.lost)
    if any(lane.lost for _, lane in lanes):
        raise SystemExit(FAILED)


def _row(measure: Progress, lane: Lane) -> list[object]:
    return [
        measure.binding.name,
        f"{lane.destination}[{lane.partition}]",
        measure.binding.group,
        "none" if lane.done_to is None else lane.done_to,
        "database" if lane.by_database else "broker",
        f"{lane.start}..{lane.end}",
        "unknown" if lane.lag is None else lane.lag,
        None if lane.position is None else f"{age(lane.position.age_ms)} ago",
        "ok" if lane.lost is None else lane.lost.partition(":")[0],
    ]


def _document(measure: Progress, lane: Lane) -> dict[str, object]:
    return {
        "binding": measure.binding.name,
        "group": measure.binding.group,
        "destination": lane.destination,
        "partition": lane.partition,
        "position": lane.done_to,
        "positions_in": "database" if lane.by_database else "broker",
        "start": lane.start,
        "end": lane.end,
        "lag": lane.lag,
        "moved_ms_ago": None if lane.position is None else lane.position.age_ms,
        "lost": lane.lost,
    }
