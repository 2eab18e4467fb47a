"""How the cost of a message grows with what is around it."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest, Course, Figure
from benchmarks.contests.categories import full_topic
from benchmarks.servers import Servers

_CONTENDERS = (
    Contender("bare confluent-kafka loop (limit)", "bare:validated"),
    Contender("streambind, listener", "streambind_listener:single"),
    Contender("streambind, batch listener", "streambind_listener:batch"),
)

PARTITIONS = Contest(
    name="partitions",
    title="Inbound: as partitions grow in number",
    contenders=_CONTENDERS,
    prepare=full_topic,
    courses={str(number): {"partitions": number, "messages": 300_000} for number in (1, 4, 8, 32)},
    runs=3,
    axis="partitions",
)

PAYLOAD = Contest(
    name="payload",
    title="Inbound: as payloads grow",
    contenders=_CONTENDERS,
    prepare=full_topic,
    courses={
        "200 B": {"payload_bytes": 200, "messages": 300_000},
        "1 kB": {"payload_bytes": 1_000, "messages": 200_000},
        "10 kB": {"payload_bytes": 10_000, "messages": 40_000},
        "100 kB": {"payload_bytes": 100_000, "messages": 5_000},
    },
    runs=3,
    axis="of payload",
)


def _topics(servers: Servers, course: Course) -> Course:
    """For each process a topic of its own."""
    share = {**course, "messages": course["messages"] // course["processes"]}
    shares = [full_topic(servers, share) for _ in range(course["processes"])]
    return {**course, "messages": sum(each["messages"] for each in shares), "shares": shares}


PROCESSES = Contest(
    name="processes",
    title="Inbound: as processes grow in number",
    contenders=(
        Contender("bare confluent-kafka loop (limit)", "fleet:run", arguments={"each": "bare:validated"}),
        Contender("streambind, listener", "fleet:run", arguments={"each": "streambind_listener:single"}),
    ),
    prepare=_topics,
    courses={str(number): {"processes": number, "messages": 800_000} for number in (1, 2, 4)},
    runs=3,
    axis="processes",
    note="The rate of all processes together, each on partitions of its own.",
)

MEMORY = Contest(
    name="memory",
    title="Inbound: memory over two million messages",
    contenders=_CONTENDERS,
    figures=(
        Figure("memory", "MB", is_rate=False),
        Figure("memory that the second half adds", "MB", is_rate=False),
    ),
    prepare=full_topic,
    courses={"": {"messages": 2_000_000}},
    runs=2,
    note=(
        "The most that the process has had after the first million messages, and how much more after the second, "
        "which should be less than 5 MB (0.1 stands for nothing)."
    ),
)
