"""Lines, tables and lengths of time."""

from __future__ import annotations

import io

import pytest

from streambind.cli import output
from streambind.cli.output import Screen, age, line, table


def test_values_are_never_markup() -> None:
    for value in ("[red]", "[/]", "x\\", "{}", ":smile:", "[bold", "\\[a]"):
        assert line("[bold]{}[/bold]|{}", value, value).plain == f"{value}|{value}"


def test_a_value_takes_the_style_around_it() -> None:
    shown = line("[red]{}[/] {}", "stop", "go")
    assert [(shown.plain[s.start : s.end], str(s.style)) for s in shown.spans] == [("stop", "red")]


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 ms"),
        (-5, "0 ms"),
        (999, "999 ms"),
        (12_400, "12 s"),
        (60_000, "1 min"),
        (184_000, "3 min 4 s"),
        (7_200_000, "2 h"),
        (7_320_000, "2 h 2 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_an_age_is_said_in_words(milliseconds: int, words: str) -> None:
    assert age(milliseconds) == words


def _printed(width: int, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    file = io.StringIO()
    screen = Screen(
        file=file, width=width if terminal else None, force_terminal=terminal, color_system=None, highlight=False
    )
    monkeypatch.setattr(output, "out", screen)
    output.show(table(("binding", "destination"), [("in-a", "a" * 30), ("in-b\x1b[2J", "b")]))
    return file.getvalue()


def test_a_table_that_fits_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _printed(80, True, monkeypatch).splitlines()
    assert lines[0].split() == ["binding", "destination"]
    assert lines[1].split() == ["in-a", "a" * 30]
    assert lines[2].split() == [r"in-b\x1b[2J", "b"]


def test_a_table_that_does_not_fit_becomes_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _printed(30, True, monkeypatch)
    assert shown.splitlines()[0].rstrip() == "in-a"
    words = shown.split()
    assert words[:2] == ["in-a", "destination"]
    assert "".join(words[2:-3]) == "a" * 30
    assert words[-3:] == [r"in-b\x1b[2J", "destination", "b"]


def test_what_goes_to_a_pipe_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert _printed(20, False, monkeypatch).splitlines()[1].split() == ["in-a", "a" * 30]


@pytest.mark.parametrize("values", [[], [1], [{"a": [1, {"b": "x\ny"}]}, None, "\x1b"]])
def test_an_array_that_is_written_piece_by_piece_looks_like_one_written_at_once(
    capsys: pytest.CaptureFixture[str], values: list[object]
) -> None:
    output.print_json(values)
    at_once = capsys.readouterr().out
    output.print_json_array(iter(values))
    assert capsys.readouterr().out == at_once
