"""The broker is away while changes are committed as fast as the database takes them, and comes back.

`STREAMBIND_TEST_OUTAGE_S=600 pytest -s` keeps it away for ten minutes, and shows the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import ServiceProcess, Services
from tests.acceptance.stage import Stage, prepare
from tests.faults.outage import OUTAGE_S, outlast
from tests.faults.world import REPLICA, World, world
from tests.services import KafkaBroker, PostgresServer

COMMITS = 2_000
"""So many at least, with the broker and without it."""
WITHIN_S = 60.0
DRAIN_S = 120.0 + OUTAGE_S
MEMORY_KB = 64 * 1024
"""By so much the relay's process may grow, however long the broker is away."""
MAX_ROWS = 1_000
BATCHES = {"MAX_POLL_RECORDS": "500", **REPLICA}


@pytest.fixture
def loaded(own_kafka: KafkaBroker, own_postgres: PostgresServer, services: Services) -> Iterator[World]:
    def new_database() -> str:
        url = own_postgres.new_database()
        prepare(url)
        return url

    with world(Stage(own_kafka.address, new_database), services) as made:
        yield made


@pytest.mark.timeout(300 + 3 * OUTAGE_S)
def test_commits_go_on_at_full_load_while_the_broker_is_away(loaded: World, own_kafka: KafkaBroker) -> None:
    effects, source = loaded.effects(**BATCHES), loaded.load()
    eventually(lambda: loaded.handled() > 0, WITHIN_S, lambda: source.tail() + effects.tail())
    with_broker = _per_second(loaded.committed, lambda: outlast(loaded.committed, COMMITS, source.tail))
    memory_kb, sent = _memory_kb(source), loaded.records()
    own_kafka.kill()
    try:
        without = _per_second(loaded.committed, lambda: outlast(loaded.committed, COMMITS, source.tail))
        backlog, grown_kb = loaded.waiting(), _memory_kb(source) - memory_kb
    finally:
        own_kafka.restart()
    assert without > with_broker / 3
    assert COMMITS <= backlog <= loaded.committed() - sent
    assert grown_kb < MEMORY_KB
    # The writers go on.
    drained = _per_second(
        loaded.records, lambda: eventually(lambda: loaded.waiting() < COMMITS / 4, DRAIN_S, source.tail)
    )
    source.stop()
    loaded.wait_until_drained(effects, within_s=DRAIN_S)
    effects.stop()
    assert loaded.broken_promises() == []
    print(  # noqa: T201 -- shown with `pytest -s` or `-rP`.
        f"commits/s: {with_broker:.0f} with the broker, {without:.0f} without; {backlog} rows waited, "
        f"the relay's process grew by {grown_kb} kB; then {drained:.0f} rows/s were sent"
    )


@pytest.mark.timeout(300 + 3 * OUTAGE_S)
def test_a_full_outbox_holds_writers_back_until_the_broker_returns(loaded: World, own_kafka: KafkaBroker) -> None:
    """Each writer may pass the limit by the twentieth of the room that it was granted at its last look."""
    effects, source = loaded.effects(**BATCHES), loaded.load(STREAMBIND_OUTBOX_MAXROWS=str(MAX_ROWS))
    eventually(lambda: loaded.handled() > 0, WITHIN_S, lambda: source.tail() + effects.tail())
    own_kafka.kill()
    try:
        eventually(lambda: loaded.waiting() >= MAX_ROWS, WITHIN_S, source.tail)
        committed = loaded.committed()
        outlast(lambda: _cpu_ticks(source), 20, source.tail)
        assert loaded.waiting() <= MAX_ROWS * 1.2
        assert loaded.committed() - committed <= MAX_ROWS * 0.2
    finally:
        own_kafka.restart()
    outlast(loaded.committed, COMMITS, source.tail)
    source.stop()
    loaded.wait_until_drained(effects, within_s=DRAIN_S)
    effects.stop()
    assert loaded.broken_promises() == []


def _per_second(count: Callable[[], int], wait: Callable[[], None]) -> float:
    """By how much a figure grows meanwhile."""
    before, began = count(), time.monotonic()
    wait()
    return (count() - before) / (time.monotonic() - began)


def _memory_kb(service: ServiceProcess) -> int:
    status = Path(f"/proc/{service.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def _cpu_ticks(service: ServiceProcess) -> int:
    """How much it has computed: that it goes on trying."""
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
