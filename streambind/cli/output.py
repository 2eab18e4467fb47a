"""What commands print: lines, tables and colours for people, JSON for machines.

All text that is not the command's own goes through `line`, `cells` or JSON, which make it harmless.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import click
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Span, Text

from streambind.configuration.finding import Finding, Severity
from streambind.visible import visible, visible_json

OK, FAILED, AWAY, INTERRUPTED, PIPE_CLOSED = 0, 1, 3, 130, 141
"""Exit codes beside click's 2 for a wrong command line: AWAY when a broker, a database or a service does not
answer; the last two are those that a shell gives a program ended by SIGINT or SIGPIPE."""

_UNLIMITED = 100_000


class Screen(Console):
    """A console that never cuts what goes to a file or a pipe, and leaves a closed pipe to the one place that
    handles it."""

    @property
    def size(self) -> ConsoleDimensions:
        return super().size if self.is_terminal else ConsoleDimensions(_UNLIMITED, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


out = Screen(highlight=False, soft_wrap=True)
err = Screen(stderr=True, highlight=False, soft_wrap=True)


def line(markup: str, *values: object, lines: bool = False) -> Text:
    """`markup` in rich's notation with `{}` for each value; values are never read as markup."""
    remaining = iter(values)
    whole = Text()
    template = Text.from_markup(markup, emoji=False)
    edges = [edge for match in re.finditer(r"\{\}", template.plain) for edge in match.span()]
    for piece in template.divide(edges):
        if piece.plain != "{}":
            whole.append_text(piece)
            continue
        value = visible(next(remaining), lines=lines)
        whole.append_text(Text(value, spans=[Span(0, len(value), span.style) for span in piece.spans]))
    return whole


def write(markup: str, *values: object, lines: bool = False) -> None:
    """Print a line on standard output."""
    out.print(line(markup, *values, lines=lines))


def write_error(text: object) -> None:
    """Print an error, of one or more lines, on standard error."""
    err.print(line("[red bold]error[/]  {}", text, lines=True))


def print_json(value: object) -> None:
    """One JSON document, laid out."""
    _write_out(visible_json(value, indent=2))


def print_json_array(values: Iterable[object]) -> None:
    """One JSON array, laid out as `print_json` does it, each value as it comes."""
    before = "["
    for value in values:
        text = visible_json(value, indent=2).replace("\n", "\n  ")
        sys.stdout.write(f"{before}\n  {text}")
        before = ","
    _write_out("[]" if before == "[" else "\n]")


def print_json_line(value: object) -> None:
    """One JSON document on one line, of a stream of them; flushed, for whoever reads along."""
    _write_out(visible_json(value))
    sys.stdout.flush()


def _write_out(text: str) -> None:
    sys.stdout.write(text + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> RenderableType:
    """A table without frames; where the terminal is too narrow for it, one block per row.

    A cell is a Text, which is shown as it is, or a value, which is made harmless; None is empty.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column, no_wrap=True)
    for row in cells:
        grid.add_row(*row)
    wide = out.measure(grid, options=out.options.update(width=_UNLIMITED)).maximum
    return grid if wide <= out.width else Group(*(_block(columns, row) for row in cells))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table, or `empty` if there are no rows."""
    if rows:
        show(table(columns, rows))
    else:
        write("{}", empty)


def show(renderable: RenderableType) -> None:
    """Print tables and blocks: as wide as the terminal, in a file or a pipe as wide as they are."""
    out.print(renderable, soft_wrap=False)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return Text("" if value is None else visible(value))


def _block(columns: Sequence[str], row: Sequence[Text]) -> RenderableType:
    """The first cell as a heading, the others below it with their columns' names."""
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for column, cell in zip(columns[1:], row[1:], strict=True):
        if cell.plain:
            grid.add_row(f"  {column}", cell)
    heading = row[0].copy()
    heading.stylize("bold")
    return Group(heading, grid)


def print_findings(findings: Sequence[Finding], screen: Screen = out) -> None:
    """One aligned line per finding, then the counts."""
    width = max((len(str(finding.origin)) for finding in findings if finding.origin), default=0)
    for finding in findings:
        colour = "red" if finding.severity is Severity.ERROR else "yellow"
        place = f"{visible(finding.origin):<{width}}  " if finding.origin else ""
        screen.print(line(f"{{}}[{colour}]{{}}[/]  {{}}", place, f"{finding.severity:<7}", finding.text))
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    screen.print(line("{}, {}", count(errors, "error"), count(len(findings) - errors, "warning")))


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def age(milliseconds: int) -> str:
    """A length of time in words, of its two largest units: `340 ms`, `12 s`, `3 min 4 s`, `2 h`, `5 d 1 h`."""
    if milliseconds < 1000:
        return f"{max(0, milliseconds)} ms"
    seconds = milliseconds // 1000
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)
