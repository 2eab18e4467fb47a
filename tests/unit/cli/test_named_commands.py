"""Commands and errors that texts name exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from streambind import errors
from streambind.cli import main

ROOT = Path(__file__).parents[3]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "streambind").rglob("*.py"))]


def _commands(text: str) -> set[tuple[str, str | None]]:
    """`streambind first second` in code, or behind a prompt; `second` only where `first` is a group."""
    words = re.findall(r"(?:`|\$ |on: |run )streambind ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?", text)
    return {(first, second or None) for first, second in words}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_text_names_exists(path: Path) -> None:
    for first, second in _commands(path.read_text(encoding="utf-8")):
        command = main.commands.get(first)
        assert command is not None, f"streambind {first}"
        if isinstance(command, click.Group) and second is not None:
            assert second in command.commands, f"streambind {first} {second}"


def test_every_error_that_the_operators_page_names_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+Error)`", text))
    assert named >= {"PositionLostError", "DestinationReplacedError", "SequenceForkError", "SequenceGapError"}
    assert {name for name in named if not hasattr(errors, name)} == set()


def test_a_command_that_does_not_exist_is_found() -> None:
    assert _commands("run `streambind outbox nonsense TARGET`") == {("outbox", "nonsense")}
