"""What every key costs for as long as it is remembered."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest, Course, Figure
from benchmarks.servers import Servers


def _sized(servers: Servers, course: Course) -> Course:
    return {**course, "keys": int(course["keys"] * course["scale"])}


def _size(database: str, title: str) -> Contest:
    return Contest(
        name=f"keys-{database}",
        title=f"What a key takes in {title}",
        contenders=(
            Contender("a table of keys and numbers by hand (limit)", "keys:by_hand"),
            Contender("streambind, published (sb_key)", "keys:published"),
            Contender("streambind, applied, per group and source (sb_guard)", "keys:applied"),
        ),
        figures=(Figure("size", "bytes/key", is_rate=False),),
        courses={"": {"keys": 100_000}},
        prepare=_sized,
        database=database,
        runs=1,
        note="Keys of five digits that were written once, in their order; indexes included.",
    )


def _verify(database: str, title: str) -> Contest:
    return Contest(
        name=f"verify-{database}",
        title=f"`streambind verify` on {title}",
        contenders=(
            Contender("both tables read to the end by hand (limit)", "keys:compared_by_hand"),
            Contender("streambind verify", "keys:verified"),
        ),
        figures=(Figure("rate", "keys/s"),),
        courses={"": {"keys": 300_000}},
        prepare=_sized,
        database=database,
        runs=3,
        note="All keys are applied; source and group share a database.",
    )


KEYS = (_size("postgresql", "PostgreSQL"), _size("sqlite", "SQLite"))
VERIFY = (_verify("postgresql", "PostgreSQL"), _verify("sqlite", "SQLite"))
