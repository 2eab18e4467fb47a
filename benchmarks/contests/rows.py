"""From the topic into a table."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest
from benchmarks.contests.categories import full_topic


def _contest(database: str, title: str, note: str) -> Contest:
    return Contest(
        name=f"rows-{database}",
        title=f"Inbound: into rows of {title}",
        contenders=(
            Contender("bulk loop by hand (limit)", f"bulk:{database}"),
            Contender("streambind, replica", "streambind_rows:replica", target=0.7),
            Contender("streambind, handler that merges", "streambind_rows:merged", arguments={"share": 0.2}),
            Contender("streambind, handler that adds", "streambind_rows:added", arguments={"share": 0.5}),
            *_faststream("merges", "merged"),
            *_faststream("adds", "added"),
        ),
        prepare=full_topic,
        courses={"plain": {"messages": 100_000}, "numbered": {"messages": 100_000, "numbered": True}},
        axis="messages",
        database=database,
        note=note,
    )


def _faststream(does: str, function: str) -> list[Contender]:
    return [
        Contender(
            f"FastStream + SQLAlchemy, {client}, handler that {does}",
            f"faststream_rows:{function}",
            "faststream",
            {"client": module, "share": 0.02},
        )
        for client, module in (("confluent", "confluent"), ("aiokafka", "kafka"))
    ]


ROWS_POSTGRESQL = _contest(
    "postgresql",
    "PostgreSQL",
    "The limit takes the last event of each key of a batch and writes them, and the position, in one transaction: "
    "exactly once. So is streambind; its handlers are called for each message: one does `session.merge()`, "
    "the other `session.add()`. FastStream is at least once (`NACK_ON_ERROR`) with a session, a commit and an "
    "acknowledgement a message. Commits wait for the disk. Numbered messages come from an outbox of streambind's: "
    "it checks that of each key none is missing and none comes twice; the others do not look.",
)

ROWS_SQLITE = _contest("sqlite", "SQLite", "As with PostgreSQL, in a file.")
