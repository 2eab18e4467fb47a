"""The tutorial, the guide and the page of replicas do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.tutorial import Command, File, Follower, steps_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("page", "files", "commands"), [("tutorial.md", 8, 12), ("guide.md", 8, 1), ("replicas.md", 6, 2)]
)
def test_following_a_page_gives_what_it_shows(tmp_path: Path, page: str, files: int, commands: int) -> None:
    steps = steps_of((DOCS / page).read_text())
    follower = Follower(tmp_path)

    try:
        follower.follow(steps)
    finally:
        follower.end()

    assert sum(isinstance(step, File) for step in steps) >= files
    assert sum(isinstance(step, Command) for step in steps) >= commands


def test_a_command_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    [step] = steps_of("```console\n$ echo one\ntwo\n```\n")

    with pytest.raises(AssertionError, match="printed:\none"):
        Follower(tmp_path).follow([step])
