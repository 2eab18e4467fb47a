"""What publishing costs who commits, and how fast what is committed leaves."""

from __future__ import annotations

import uuid

from benchmarks.contest import Contender, Contest, Course, Figure
from benchmarks.servers import Servers

_PARTITIONS = 4


def _topic(servers: Servers, course: Course) -> Course:
    topic = f"bench-{uuid.uuid4().hex[:10]}"
    servers.topic(topic, _PARTITIONS)
    scaled = {name: max(50, int(course[name] * course["scale"])) for name in ("commits", "rows") if name in course}
    return {**course, **scaled, "topic": topic}


def _commits(database: str, title: str, note: str) -> Contest:
    return Contest(
        name=f"commits-{database}",
        title=f"Outbound: entities committed to {title}",
        contenders=(
            Contender("ORM commits without events (limit)", "commits:unpublished"),
            Contender("streambind, outbox", "commits:outbox", target=0.6),
            Contender("streambind, outbox and relay in one process", "commits:relayed"),
            Contender("streambind, after-commit", "commits:after_commit"),
        ),
        figures=(Figure("rate", "entities/s"),),
        courses={"1": {"size": 1, "commits": 3_000}, "100": {"size": 100, "commits": 100}},
        axis="a commit",
        prepare=_topic,
        database=database,
        note=note,
    )


COMMITS_POSTGRESQL = _commits(
    "postgresql",
    "PostgreSQL",
    'New entities of four columns in a SQLAlchemy session, one thread. "outbox" alone has no relay meanwhile, as '
    "where another machine sends. Commits wait for the disk.",
)
COMMITS_SQLITE = _commits("sqlite", "SQLite", "As with PostgreSQL, in a file.")

CHANGES_POSTGRESQL = Contest(
    name="changes-postgresql",
    title="Outbound: entities changed in PostgreSQL",
    contenders=(
        Contender("ORM commits without events (limit)", "commits:unpublished"),
        Contender("streambind, outbox", "commits:outbox"),
    ),
    figures=(Figure("rate", "entities/s"),),
    courses={
        "1": {"size": 1, "commits": 3_000, "changes": True},
        "100": {"size": 100, "commits": 100, "changes": True},
    },
    axis="a commit",
    prepare=_topic,
    database="postgresql",
    note=(
        "Each commit looks entities up and changes one of their four columns. So that events tell what the rows "
        "hold, also where others have changed another column, a flush reads the rows back."
    ),
)

RELAY = Contest(
    name="relay",
    title="Outbound: a backlog of the outbox to the broker",
    contenders=(
        Contender("produce and delete by hand (limit)", "backlog:by_hand"),
        Contender("streambind, relay", "backlog:relay", target=0.7),
    ),
    figures=(Figure("rate", "messages/s"),),
    courses={"50,000": {"rows": 50_000}, "1,000,000": {"rows": 1_000_000}},
    axis="rows",
    is_scaled=True,
    prepare=_topic,
    database="postgresql",
    runs=3,
    note=(
        "The limit selects a thousand rows in order, produces them with their headers, flushes, deletes and "
        "commits; it knows no leases, no second process, no refused message, and no sequence numbers in headers."
    ),
)

FENCING = Contest(
    name="fencing",
    title="Outbound: a backlog of the outbox through fenced producers",
    contenders=(
        Contender("streambind, relay (limit)", "backlog:relay"),
        Contender(
            "streambind, relay, fencing: transactional",
            "backlog:relay",
            arguments={"outbox": {"fencing": "transactional"}},
        ),
    ),
    courses={"": {"rows": 50_000}},
    prepare=_topic,
    database="postgresql",
    runs=3,
    note="What `streambind.outbox.fencing` costs: a producer for each shard, and a transaction for each send.",
)

_PERCENTILES = tuple(Figure(f"p{percent}", "ms", is_rate=False) for percent in (50, 95, 99))

ACKNOWLEDGEMENT = Contest(
    name="acknowledgement",
    title="From a commit to the broker's acknowledgement of its event",
    contenders=(
        Contender("commit, produce, delivery report by hand (limit)", "acknowledgement:bare"),
        Contender("streambind, outbox", "acknowledgement:streambind"),
        Contender(
            "streambind, outbox, fencing: transactional",
            "acknowledgement:streambind",
            arguments={"outbox": {"fencing": "transactional"}},
        ),
        Contender("streambind, relay in another process", "acknowledgement:relayed_elsewhere"),
        Contender(
            "streambind, relay in another process, notify: false",
            "acknowledgement:relayed_elsewhere",
            arguments={"outbox": {"notify": False}},
        ),
    ),
    figures=_PERCENTILES,
    courses={"20": {"rate": 20, "seconds": 15}, "500": {"rate": 500, "seconds": 10}},
    axis="commits a second",
    database="postgresql",
    runs=3,
    note=(
        "Commits of one entity by four threads, from before the commit until the producer knows that the broker "
        "has the event. The limit loses what is committed when it dies before it has sent. NOTIFY counts where "
        "a relay has nothing to do: at 20 commits a second."
    ),
)

LATENCY = Contest(
    name="latency",
    title="From a commit to the commit of the read model",
    contenders=(
        Contender("commit, produce, consume, commit by hand (limit)", "latency:bare"),
        Contender(
            "streambind, outbox and a listener with a session",
            "latency:streambind",
            target=0.33,
            targets={"p99": 0.2},
        ),
    ),
    figures=_PERCENTILES,
    courses={"": {"rate": 500, "seconds": 10}},
    database="postgresql",
    runs=3,
    note=(
        "500 commits a second by four threads in one process, the read model in another, on one database. The "
        "limit has no outbox and no exactly-once: it loses what is committed when it dies before it has sent."
    ),
)
