"""Records of contests, kept beside the code, and the page and the picture made of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest
from benchmarks.environments import ROOT, python_of
from benchmarks.report import Row, markdown, rows

RECORDS = ROOT / "benchmarks" / "records"
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.png"
BEGIN, END = "<!-- measured: made by make bench -->\n", "<!-- end of what was measured -->\n"


def keep(record: Mapping[str, Any]) -> None:
    """Write a record in place of the last one of its contest."""
    RECORDS.mkdir(exist_ok=True)
    Path(RECORDS, f"{record['contest']}.json").write_text(f"{json.dumps(record, indent=1)}\n")


def kept(contests: Sequence[Contest]) -> list[tuple[Contest, Mapping[str, Any]]]:
    """The contests that have a record, with it."""
    files = [(contest, RECORDS / f"{contest.name}.json") for contest in contests]
    return [(contest, json.loads(file.read_text())) for contest, file in files if file.exists()]


def write(contests: Sequence[Contest]) -> None:
    """Make the measured part of the page, and the picture, from all records."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{measured(contests)}{after}")
    _draw(kept(contests))


def measured(contests: Sequence[Contest]) -> str:
    """The measured part of the page, with what it stands between."""
    tables = "\n".join(markdown(contest, record) for contest, record in kept(contests))
    return f"{BEGIN}\n{tables}\n{END}"


def _draw(found: Sequence[tuple[Contest, Mapping[str, Any]]]) -> None:
    bars: list[object] = []
    lines: list[object] = []
    for contest, record in found:
        by_first = list(rows(contest, record, contest.figures[0]))
        if len(contest.courses) == 1:
            bars += [[contest.title, row.contender, row.ratio, row.target] for row in by_first]
        else:
            lines += _lines(contest, by_first)
    summary = json.dumps({"bars": bars, "lines": lines})
    command = [python_of("plot"), str(ROOT / "benchmarks" / "plot.py"), str(PICTURE)]
    subprocess.run(command, input=summary, text=True, check=True)


def _lines(contest: Contest, found: Sequence[Row]) -> list[object]:
    names = dict.fromkeys(row.contender for row in found)
    return [
        [contest.title, contest.axis, name, [r.course for r in mine], [r.ratio for r in mine]]
        for name in names
        if (mine := [row for row in found if row.contender == name])
    ]
