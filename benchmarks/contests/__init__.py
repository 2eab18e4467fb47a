"""All contests, in the order of the page."""

from __future__ import annotations

from benchmarks.contest import Contest
from benchmarks.contests.growth import MEMORY, PARTITIONS, PAYLOAD, PROCESSES
from benchmarks.contests.inbound import INBOUND
from benchmarks.contests.keys import KEYS, VERIFY
from benchmarks.contests.outbound import (
    ACKNOWLEDGEMENT,
    CHANGES_POSTGRESQL,
    COMMITS_POSTGRESQL,
    COMMITS_SQLITE,
    FENCING,
    LATENCY,
    RELAY,
)
from benchmarks.contests.parking import JOINING, PARKING
from benchmarks.contests.rows import HANDLERS_POSTGRESQL, HANDLERS_SQLITE, ROWS_POSTGRESQL, ROWS_SQLITE

CONTESTS: dict[str, Contest] = {
    contest.name: contest
    for contest in (
        INBOUND,
        ROWS_POSTGRESQL,
        ROWS_SQLITE,
        HANDLERS_POSTGRESQL,
        HANDLERS_SQLITE,
        COMMITS_POSTGRESQL,
        COMMITS_SQLITE,
        CHANGES_POSTGRESQL,
        RELAY,
        FENCING,
        ACKNOWLEDGEMENT,
        LATENCY,
        PARTITIONS,
        PAYLOAD,
        PROCESSES,
        MEMORY,
        PARKING,
        JOINING,
        *KEYS,
        *VERIFY,
    )
}
