"""`streambind bindings`: what is bound to what, and with --live how far each group is."""

from __future__ import annotations

from collections.abc import Sequence

import click

from streambind.cli.freshness import with_freshness
from streambind.cli.output import json_option, print_json, print_table, write
from streambind.cli.plan import PlannedBinding, planned_bindings
from streambind.cli.progress import Lane, Progress, measured
from streambind.cli.status_screen import UNKNOWN, behind_text
from streambind.cli.target import resolve


@click.command()
@click.argument("target", required=False)
@click.option("--live", is_flag=True, help="Ask brokers and database: partitions, ends, positions, lag.")
@json_option
def bindings(target: str | None, live: bool, as_json: bool) -> None:
    """List the bindings of TARGET: a configuration folder or file, or module:attribute.

    Of an application its listeners and publishers are listed too. With --live the lag is counted from what the
    group has done: where a listener's effects and its position are kept in the database, from there, else from
    the offsets that the group has committed to the broker. Behind is how long ago the first message to do was
    committed at its source: by two clocks, if they are two hosts. What cannot be known is unknown, never 0.

    \b
    Examples:
      streambind bindings config/lecture
      streambind bindings sample_app.lecture.app:stream --live

    Exit code 3 with --live if a broker or the database does not answer.
    """
    resolved = resolve(target)
    planned = planned_bindings(resolved)
    progress = with_freshness(resolved, measured(resolved, planned)) if live else None
    if as_json:
        print_json([_document(b, None if progress is None else p) for b, p in _paired(planned, progress)])
        return
    _show(planned, progress)


def _paired(
    planned: Sequence[PlannedBinding], progress: Sequence[Progress] | None
) -> list[tuple[PlannedBinding, Progress | None]]:
    return [(binding, None if progress is None else progress[i]) for i, binding in enumerate(planned)]


def _show(planned: Sequence[PlannedBinding], progress: Sequence[Progress] | None) -> None:
    has_code = any(binding.code is not None for binding in planned)
    columns = ["binding", "direction", "destination", "group", "content type", "binder", "mode"]
    columns += ["lag", "behind"] * (progress is not None) + ["code"] * has_code + ["declared"]
    rows = []
    for binding, measure in _paired(planned, progress):
        row: list[object] = [binding.name, binding.direction, ", ".join(binding.destinations), binding.group]
        row += [binding.content_type, binding.binder, binding.mode]
        row += [] if measure is None else [lag_text(measure), behind_of(measure)]
        row += [", ".join(binding.code or ()) or "none"] if has_code else []
        rows.append([*row, binding.declared])
    print_table(columns, rows, empty="no bindings")
    if progress is not None and any(measure.lanes for measure in progress):
        write("")
        lanes = [(measure, lane) for measure in progress for lane in measure.lanes]
        print_table(
            ("binding", "partition", "end", "committed", "in database", "lag", "behind"),
            [_lane_row(measure, lane) for measure, lane in lanes],
            empty="",
        )


def _lane_row(measure: Progress, lane: Lane) -> list[object]:
    row: list[object] = [measure.binding.name, f"{lane.destination}[{lane.partition}]", lane.end]
    if not measure.binding.is_input or measure.binding.group is None:
        return [*row, None, None, None, None]
    stored = None if not measure.by_database else _known(lane.stored, "none")
    return [*row, _known(lane.committed, "none"), stored, _known(lane.lag, UNKNOWN), behind_text(lane.behind_s)]


def lag_text(measure: Progress) -> str | None:
    """The lag in one cell; of outputs nothing."""
    if not measure.binding.is_input:
        return None
    if measure.binding.is_pattern:
        return f"{UNKNOWN}: the destination is a pattern"
    if measure.missing:
        return f"{UNKNOWN}: no destination {', '.join(measure.missing)}"
    if measure.binding.group is None:
        return f"{UNKNOWN}: no group"
    return _known(measure.lag, UNKNOWN)


def behind_of(measure: Progress) -> str | None:
    """How far behind its source an input is, in one cell."""
    return behind_text(measure.behind_s) if measure.binding.is_input else None


def _known(number: int | None, otherwise: str) -> str:
    return otherwise if number is None else str(number)


def _document(binding: PlannedBinding, progress: Progress | None) -> dict[str, object]:
    declared = binding.declared
    document: dict[str, object] = {
        "name": binding.name,
        "direction": binding.direction,
        "destinations": binding.destinations,
        "group": binding.group,
        "content_type": binding.content_type,
        "binder": binding.binder,
        "mode": binding.mode,
        "code": binding.code,
        "file": None if declared is None else declared.shown_source,
        "line": None if declared is None else declared.line,
    }
    return document if progress is None else {**document, **live_document(progress)}


def live_document(progress: Progress) -> dict[str, object]:
    """What brokers and database say of a binding; `lag` and `behind_s` null: unknown, or an output."""
    return {
        "lag": progress.lag,
        "behind_s": progress.behind_s,
        "positions_in": "database" if progress.by_database else "broker",
        "missing": progress.missing,
        "partitions": [
            {
                "destination": lane.destination,
                "partition": lane.partition,
                "start": lane.start,
                "end": lane.end,
                "committed": lane.committed,
                "stored": lane.stored,
                "lost": lane.lost,
                "lag": lane.lag if progress.binding.is_input and progress.binding.group else None,
                "behind_s": lane.behind_s,
            }
            for lane in progress.lanes
        ],
    }
