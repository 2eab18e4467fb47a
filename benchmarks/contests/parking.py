"""What parked keys cost those that are not parked, in the read model's database."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest, Course
from benchmarks.servers import Servers


def _sized(servers: Servers, course: Course) -> Course:
    scale = course["scale"]
    return {**course, "messages": int(20_000 * scale), "parked": int(10_000 * scale)}


PARKING = Contest(
    name="parking",
    title="Parked keys: the speed of the others",
    contenders=(
        Contender("nothing is parked (limit)", "parking:nothing_parked"),
        Contender("streambind without the look for parked keys", "parking:without_looking"),
        Contender("streambind, 10 000 messages wait behind one key", "parking:behind_one_key", target=0.9),
        Contender("streambind, and a worker drains them meanwhile", "parking:while_it_drains"),
    ),
    prepare=_sized,
    database="postgresql",
    note="Batches of 500 to a `Session` handler that adds one row a message, without a broker.",
)

JOINING = Contest(
    name="joining",
    title="Parked keys: a third of the messages joins what waits",
    contenders=(
        Contender("a third is of one key, not parked (limit)", "parking:a_third_not_parked"),
        Contender("streambind, they join 10 000 that wait", "parking:a_third_joins"),
    ),
    prepare=_sized,
    database="postgresql",
    note="The rate is that of the other two thirds.",
)
