"""What is measured, and between whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import Servers

Course = Mapping[str, Any]
"""What a contender is given, as JSON: `brokers` and `database` (a URL of an empty database of its own, where the
contest names a kind of database), and what the contest's `prepare` has added."""


@dataclass(frozen=True, slots=True)
class Contender:
    """`function` is `module:name` below `benchmarks.contenders`; it takes a course and returns figures by name,
    each a float. `arguments` are added to its course. `target`: the least ratio to the limit that we set out to
    reach, by the contest's first figure; `targets`: by the names of others."""

    name: str
    function: str
    environment: str = "streambind"
    arguments: Course = field(default_factory=dict)
    target: float | None = None
    targets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the figures that contenders return. `is_rate`: more is better, and ratios are of rates; else less is
    better."""

    name: str
    unit: str
    is_rate: bool = True


def _as_given(servers: Servers, course: Course) -> Course:
    return course


@dataclass(frozen=True, slots=True)
class Contest:
    """`contenders`: the first is the limit. `courses`: by label, what differs between the parts of a contest, such
    as the number of partitions; `prepare` makes what they need once for all turns (fills a topic), and returns the
    whole course. `note` says how to read the figures."""

    name: str
    title: str
    contenders: Sequence[Contender]
    figures: Sequence[Figure] = (Figure("rate", "messages/s"),)
    courses: Mapping[str, Course] = field(default_factory=lambda: {"": {}})
    prepare: Callable[[Servers, Course], Course] = _as_given
    database: str | None = None
    """`postgresql`, `sqlite` or None: an empty one is made for each turn."""
    runs: int = 5
    axis: str = ""
    """What the labels of several courses say, such as `partitions`."""
    is_scaled: bool = False
    """Whether these labels are numbers of what a shortened contest has less of."""
    note: str = ""
