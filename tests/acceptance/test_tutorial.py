"""The tutorial does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.tutorial import Command, File, Follower, steps_of

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.timeout(300)
def test_following_the_tutorial_gives_what_it_shows(tmp_path: Path) -> None:
    steps = steps_of(TUTORIAL.read_text())
    follower = Follower(tmp_path)

    try:
        follower.follow(steps)
    finally:
        follower.end()

    assert sum(isinstance(step, File) for step in steps) >= 10
    assert sum(isinstance(step, Command) for step in steps) >= 10


def test_a_command_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    [step] = steps_of("```console\n$ echo one\ntwo\n```\n")

    with pytest.raises(AssertionError, match="printed:\none"):
        Follower(tmp_path).follow([step])
