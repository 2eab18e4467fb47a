"""`python -m benchmarks [CONTEST...]`: hold contests, print their tables, keep their records."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.contest import Contest
from benchmarks.contests import CONTESTS
from benchmarks.page import keep, write
from benchmarks.report import HEAD, cells, rows
from benchmarks.servers import Servers
from benchmarks.turns import ContenderFailed, hold


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("contest", nargs="*", help=f"all of them if none is named: {', '.join(CONTESTS)}")
    parser.add_argument("--runs", type=int, help="turns of each contest, in place of its own number")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the messages")
    parser.add_argument("--only", help="the limit, and contenders with this in their names; keeps no record")
    parser.add_argument("--brokers", help="a broker of yours; else one is started")
    parser.add_argument("--postgres", help="a server of yours, as a URL of one who may make databases")
    parser.add_argument("--page", action="store_true", help="only make docs/performance.md anew from the records")
    parser.add_argument("--no-record", action="store_true", help="print the tables, and keep nothing")
    given = parser.parse_args()
    unknown = [name for name in given.contest if name not in CONTESTS]
    if unknown:
        parser.error(f"no contest {unknown[0]!r}; there are {', '.join(CONTESTS)}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    servers = Servers(given.brokers, given.postgres)
    is_kept = not (given.only or given.no_record)
    failed = 0
    for name in () if given.page else given.contest or CONTESTS:
        contest = CONTESTS[name]
        try:
            with console.status("") as status:
                record = hold(
                    contest,
                    servers,
                    runs=given.runs or contest.runs,
                    scale=given.scale,
                    only=given.only,
                    tell=status.update,
                )
        except ContenderFailed as failure:
            console.print(str(failure), markup=False)
            failed = 1
            continue
        _print(console, contest, record)
        if is_kept:
            keep(record)
    if is_kept or given.page:
        write(list(CONTESTS.values()))
    return failed


def _print(console: Console, contest: Contest, record: dict[str, object]) -> None:
    for figure in contest.figures:
        table = Table(
            title=f"{contest.title} ({figure.name})", title_justify="left", box=None, padding=(0, 2, 0, 0)
        )
        for number, head in enumerate(HEAD):
            table.add_column(head, justify="left" if number == 0 else "right")
        for row in rows(contest, record, figure):
            table.add_row(*cells(contest, row, figure))
        console.print(table)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
