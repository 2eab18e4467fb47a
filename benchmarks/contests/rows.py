"""From the topic into a table."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest
from benchmarks.contests.categories import full_topic

_WAITS = "Commits wait for the disk."
_NUMBERED = (
    "Numbered messages come from an outbox of streambind's: it checks that of each key none is missing and none "
    "comes twice; the others do not look."
)


def _rows(database: str, title: str, note: str, target: float | None = None) -> Contest:
    return Contest(
        name=f"rows-{database}",
        title=f"Inbound: into rows of {title}",
        contenders=(
            Contender("bulk loop by hand (limit)", f"bulk:{database}"),
            Contender("bulk loop by hand, 2000 messages a call", f"bulk:{database}", arguments={"batch": 2_000}),
            Contender("streambind, replica", "streambind_rows:replica", target=target),
            Contender("streambind, handler that adds", "streambind_rows:added", arguments={"share": 0.5}),
            Contender("streambind, handler that merges", "streambind_rows:merged", arguments={"share": 0.1}),
        ),
        prepare=full_topic,
        courses={"plain": {"messages": 100_000}, "numbered": {"messages": 100_000, "numbered": True}},
        database=database,
        axis="messages",
        note=note,
    )


def _handlers(database: str, title: str, note: str, target: float | None = None) -> Contest:
    return Contest(
        name=f"handlers-{database}",
        title=f"Inbound: a handler that writes one row of {title} a message, and FastStream with SQLAlchemy",
        contenders=(
            Contender("FastStream, confluent (the measure)", *_FASTSTREAM, {"client": "confluent", "share": 0.1}),
            Contender("FastStream, aiokafka", *_FASTSTREAM, {"client": "kafka", "share": 0.1}),
            Contender("SQLAlchemy by hand, 500 messages a transaction", "session_rows:written"),
            Contender("streambind", "streambind_rows:written", target=target),
        ),
        prepare=full_topic,
        courses={
            "session.add()": {"messages": 20_000, "writes": "added"},
            "session.merge()": {"messages": 20_000, "writes": "merged"},
        },
        database=database,
        note=note,
    )


_FASTSTREAM = ("faststream_rows:written", "faststream")

ROWS_POSTGRESQL = _rows(
    "postgresql",
    "PostgreSQL",
    "The limit takes the last event of each key of a batch and writes them, and the position, in one transaction: "
    "exactly once; it takes 500 messages a call. So is streambind; its handlers are called for each message, 500 "
    f"a transaction; a replica takes up to 2000 of a partition if so many wait. {_WAITS} {_NUMBERED}",
    target=0.7,
)

ROWS_SQLITE = _rows("sqlite", "SQLite", "As with PostgreSQL, in a file.")

HANDLERS_POSTGRESQL = _handlers(
    "postgresql",
    "PostgreSQL",
    "FastStream at least once (`NACK_ON_ERROR`), as its users write it: a session a message, committed, then the "
    "message is acknowledged. streambind exactly once. The same statement in both: `session.add()` of a new row, "
    "which streambind writes together with others, or `session.merge()`, which asks before it writes. The loop by "
    f"hand shows what SQLAlchemy itself takes: exactly once, where nothing fails and nobody else reads. {_WAITS}",
    target=5.0,
)

HANDLERS_SQLITE = _handlers("sqlite", "SQLite", "As with PostgreSQL, in a file.")
