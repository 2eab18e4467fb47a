"""What `make bench` measures: all that it set out to, between contenders that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import environments
from benchmarks.contest import Contender, Contest
from benchmarks.contests import CONTESTS

CONTENDERS = Path(environments.__file__).parent / "contenders"
EVERY = [(contest, contender) for contest in CONTESTS.values() for contender in contest.contenders]

TARGETS = {
    ("inbound", "streambind, listener"): 0.8,
    ("inbound", "streambind, batch listener"): 0.9,
    ("rows-postgresql", "streambind, replica"): 0.7,
    ("handlers-postgresql", "streambind"): 5.0,
    ("commits-postgresql", "streambind, outbox"): 0.6,
    ("relay", "streambind, relay"): 0.7,
    ("latency", "streambind, outbox and a listener with a session"): 0.33,
}
COURSES = {
    "partitions": ["1", "4", "8", "32"],
    "processes": ["1", "2", "4"],
    "payload": ["200 B", "1 kB", "10 kB", "100 kB"],
    "relay": ["50,000", "1,000,000"],
    "commits-postgresql": ["1", "100"],
}
RIVALS = {"faststream", "quixstreams", "kstreams"}


@pytest.mark.parametrize(
    ("contest", "contender"), EVERY, ids=[f"{contest.name}-{contender.name}" for contest, contender in EVERY]
)
def test_every_contender_exists(contest: Contest, contender: Contender) -> None:
    """Without importing it: rivals are installed elsewhere."""
    module, _, function = contender.function.partition(":")
    tree = ast.parse((CONTENDERS / f"{module}.py").read_text())
    assert function in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    assert contender.environment in {"streambind", *environments.REQUIREMENTS}


@pytest.mark.parametrize("contest", CONTESTS.values(), ids=CONTESTS)
def test_ratios_are_to_a_limit_that_is_measured_on_the_same_courses(contest: Contest) -> None:
    limit, *others = contest.contenders
    assert limit.target is None
    assert others
    assert len({each.name for each in contest.contenders}) == len(contest.contenders)
    assert len({figure.name for figure in contest.figures}) == len(contest.figures)


def test_the_ratios_to_reach_stand_in_the_tables() -> None:
    found = {
        (contest.name, contender.name): contender.target
        for contest, contender in EVERY
        if contender.target is not None
    }
    assert found.items() >= TARGETS.items()
    (ours,) = CONTESTS["latency"].contenders[1:]
    assert ours.targets == {"p99": 0.2}


@pytest.mark.parametrize("name", COURSES)
def test_costs_are_shown_as_work_grows(name: str) -> None:
    assert [*CONTESTS[name].courses] == COURSES[name]


def test_all_rivals_take_part_on_the_same_messages() -> None:
    assert {each.environment for each in CONTESTS["inbound"].contenders} >= RIVALS
    assert "faststream" in {each.environment for each in CONTESTS["handlers-postgresql"].contenders}
    assert "faststream" in {each.environment for each in CONTESTS["handlers-sqlite"].contenders}


def test_memory_is_looked_at_over_two_million_messages() -> None:
    contest = CONTESTS["memory"]
    (course,) = contest.courses.values()
    assert course["messages"] == 2_000_000
    assert [figure.is_rate for figure in contest.figures] == [False, False]
