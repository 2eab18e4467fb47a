"""All faults at once, on real servers, by a seed: nothing lost, nothing twice, order kept, read model = source.

A few seconds by default; `pytest tests/faults/test_chaos.py --streambind-chaos=600` for longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from streambind.testing.chaos import Chaos
from streambind.testing.chaos.report import Report
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, prepare
from tests.faults import effects, mirrors, workload
from tests.faults.world import World, world
from tests.services import AnyMySQLServer, KafkaBroker, PostgresServer

_CONSUMER = "SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER"
FAILING = {
    "SPRING_PROFILES_ACTIVE": mirrors.PROFILE,
    "FAILING": "0.02",
    f"{_CONSUMER}_MAXATTEMPTS": "1",
    f"{_CONSUMER}_PARKING_BACKOFFINITIALINTERVAL": "200ms",
    f"{_CONSUMER}_PARKING_BACKOFFMAXINTERVAL": "1s",
    f"{_CONSUMER}_PARKING_POLLINTERVAL": "500ms",
    f"{_CONSUMER}_PARKING_MASSFAILUREKEYS": "1000",
}
"""Handlers and replicas fail at random after their writes: their keys are parked, and tried again."""


@pytest.fixture
def brokers(chaos: Chaos) -> Iterator[str]:
    """The address of a broker that may be broken, and whose clients come through a proxy."""
    door = chaos.proxy("broker-door")
    broker = KafkaBroker(settings={"advertised.listeners": f"PLAINTEXT://{door.address}"})
    door.target = int(broker.start().rpartition(":")[2])
    chaos.server("broker", crash=broker.kill, restart=broker.restart)
    yield chaos.broker(door.address)
    broker.discard()


@pytest.fixture
def everything(chaos: Chaos, brokers: str, own_postgres: PostgresServer, services: Services) -> Iterator[World]:
    """Two writers, one of which relays, a relay, and a service that listens and has replicas, twice; none of them
    started."""
    chaos.server("postgres", crash=own_postgres.crash, restart=own_postgres.restart)
    with _programs(chaos, brokers, own_postgres, services) as made:
        yield made


@pytest.fixture(
    params=[
        pytest.param("own_mariadb", marks=pytest.mark.mariadb),
        pytest.param("own_mysql", marks=pytest.mark.mysql),
    ]
)
def everything_on_mysql(
    chaos: Chaos, brokers: str, request: pytest.FixtureRequest, services: Services
) -> Iterator[World]:
    """The same on MariaDB and on MySQL, each for a twentieth of the time."""
    server: AnyMySQLServer = request.getfixturevalue(request.param)
    chaos.plan = replace(chaos.plan, seconds=max(8.0, chaos.plan.seconds / 20))
    chaos.server(server.backend, crash=server.crash, restart=server.restart)
    with _programs(chaos, brokers, server, services) as made:
        yield made


@contextmanager
def _programs(
    chaos: Chaos, brokers: str, databases: PostgresServer | AnyMySQLServer, services: Services
) -> Iterator[World]:
    def new_database() -> str:
        url = databases.new_database()
        prepare(url)
        return url

    with world(Stage(brokers, new_database), services) as made:
        workload.prepare(made.source_url)
        made.create_topic(partitions=4)
        made.prepare_mirrors()
        common = {"KAFKA_BROKERS": brokers, "TOPIC": made.topic, "GROUP": made.group}
        out = {**common, "DATABASE_URL": chaos.database("source", made.source_url)}
        chaos.writer("writer", workload.write, environment=out)
        chaos.writer("relaying-writer", workload.write_and_relay, environment=out)
        chaos.service("relay", workload.relay, environment=out)
        into = {**common, **FAILING, "DATABASE_URL": chaos.database("copy", made.effects_url)}
        chaos.service("listener", effects.main, environment=into, instances=2)
        yield made


DRAIN_S = 300.0
"""What waits behind parked keys when writers stop is tried one by one."""
LONG_S = 200.0
"""From here on each kind of fault comes again and again."""


def test_every_promise_is_kept_whatever_breaks(chaos: Chaos, everything: World) -> None:
    _see_what_struck(chaos.run(everything.history, drain_s=DRAIN_S))


def test_every_promise_is_kept_on_mysql_too(chaos: Chaos, everything_on_mysql: World) -> None:
    _see_what_struck(chaos.run(everything_on_mysql.history, drain_s=DRAIN_S))


def _see_what_struck(report: Report) -> None:
    """That the run has hit something: what the faults do one by one is `integration/chaos/test_faults.py`'s."""
    assert report.events > 0
    assert sum(report.faults.values()) > 0
    if report.seconds >= LONG_S:
        assert {"kill", "freeze", "steal-leases", "rebalance-storm"} <= report.faults.keys()
        for kind in ("crash-", "cut-", "hold-", "break-at-commit-"):
            assert any(each.startswith(kind) for each in report.faults), f"no {kind}*: {report.faults}"
        assert report.duplicates > 0
        assert report.fenced > 0
