"""What was measured, as tables: ratios first, medians of the turns with their spread."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contest import Contest, Figure

HEAD = ("", "of the limit", "spread", "processor time", "median", "to reach")


@dataclass(frozen=True, slots=True)
class Row:
    """How one contender did on one course, by one figure."""

    course: str
    contender: str
    ratios: Sequence[float]
    """To the limit of the same turn; above 1 is better than the limit."""
    values: Sequence[float]
    cpu: float
    """Median processor time of its process as a multiple of the limit's."""
    target: float | None

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def rows(contest: Contest, record: Mapping[str, Any], figure: Figure) -> Iterator[Row]:
    """One row for each course and contender that returned this figure; the limit first."""
    is_first = figure is contest.figures[0]
    targets = {
        each.name: each.target if is_first else each.targets.get(figure.name) for each in contest.contenders
    }
    for course, by_contender in record["results"].items():
        limit = by_contender[contest.contenders[0].name]
        for name, turns in by_contender.items():
            if not all(figure.name in turn for turn in (*turns, *limit)):
                continue
            pairs = [(turn[figure.name], best[figure.name]) for turn, best in zip(turns, limit, strict=True)]
            yield Row(
                course=_shortened(course, record["scale"]) if contest.is_scaled else course,
                contender=name,
                ratios=[mine / best if figure.is_rate else best / mine for mine, best in pairs],
                values=[mine for mine, _ in pairs],
                cpu=statistics.median(t["cpu_s"] for t in turns) / statistics.median(t["cpu_s"] for t in limit),
                target=targets.get(name),
            )


def _shortened(label: str, scale: float) -> str:
    return f"{int(label.replace(',', '')) * scale:,.0f}"


def cells(contest: Contest, row: Row, figure: Figure) -> tuple[str, ...]:
    """A row as text, in the order of `HEAD`."""
    name = f"{row.contender}, {row.course} {contest.axis}".rstrip() if row.course else row.contender
    reached = "" if row.target is None else f"{row.target:g} {'✓' if row.ratio >= row.target else '✗'}"
    return (
        name,
        f"{row.ratio:.2f}",
        f"{min(row.ratios):.2f} – {max(row.ratios):.2f}",
        f"{row.cpu:.2f}",
        f"{row.median:,.0f} {figure.unit}" if row.median >= 100 else f"{row.median:,.3g} {figure.unit}",
        reached,
    )


def markdown(contest: Contest, record: Mapping[str, Any]) -> str:
    """A section of the page."""
    parts = [f"### {contest.title}", ""]
    if contest.note:
        parts += [contest.note, ""]
    for figure in contest.figures:
        found = [cells(contest, row, figure) for row in rows(contest, record, figure)]
        if not found:
            continue
        head = (figure.name if len(contest.figures) > 1 else "", *HEAD[1:])
        parts += [_line(head), _line(["---", *["---:"] * (len(HEAD) - 1)]), *map(_line, found), ""]
    return "\n".join([*parts, _surroundings(record), ""])


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _surroundings(record: Mapping[str, Any]) -> str:
    named: dict[str, set[str]] = {}
    for versions in record["versions"].values():
        for package, version in versions.items():
            named.setdefault(package, set()).add(version)
    packages = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in named.items())
    servers = "".join(f"{server} {version}, " for server, version in record.get("servers", {}).items())
    turns = len(next(iter(next(iter(record["results"].values())).values())))
    shortened = "" if record["scale"] == 1 else f", {record['scale']:g} of its full length"
    return (
        f"<sub>{record['when'][:10]}, {turns} turns{shortened}; {record['machine']}, load {record['load']} "
        f"before; {servers}Python {record['python']}, {packages}</sub>"
    )
