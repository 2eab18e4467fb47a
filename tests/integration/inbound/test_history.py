"""What people did to dead letters and parked messages is forgotten when the service says so, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, select

from streambind.inbound.input import InputPlan
from streambind.testing.eventually import eventually
from tests.integration.inbound.parking import parking
from tests.integration.inbound.service import DESTINATION, GROUP, Service

DAY_MS = 86_400_000
AGES_MS = {"old": 40 * DAY_MS, "new": 20 * DAY_MS}
LETTER = {"partition": 0, "offset": 1, "timestamp_ms": 1, "outcome": "replayed", "from_partition": 0}
AUDIT = {"action": "skip", "key": b"k"}


@pytest.fixture
def service(any_service: Service) -> Service:
    """With an old and a new row of each kind, and old ones of others."""
    tables, now_ms = any_service.database.tables, any_service.database.dialect.now_ms
    for group, source, ages in (
        (GROUP, DESTINATION, ("old", "new")),
        ("others", DESTINATION, ("old",)),
        (GROUP, "elsewhere", ("old",)),
    ):
        for number, age in enumerate(ages):
            said = {"group_name": group, "actor": f"{age} {group} {source}", "at_ms": now_ms - AGES_MS[age]}
            letter: dict[str, Any] = {"destination": f"error.{source}", "from_destination": source}
            any_service.insert(tables.letter, **LETTER | said | letter | {"from_offset": number, "offset": number})
            any_service.insert(tables.audit, **AUDIT | said | {"destination": source})
    return any_service


def _remembered(service: Service) -> dict[str, set[str]]:
    tables = service.database.tables

    def actors(table: Table) -> set[str]:
        return set(service.database.run(lambda c: c.scalars(select(table.c.actor)).all()))

    return {table.name: actors(table) for table in (tables.letter, tables.audit)}


def _works(plan: InputPlan, service: Service) -> dict[str, set[str]]:
    """What is remembered once the worker has looked after all that it looks after."""
    assert plan.worker is not None
    worker = plan.worker
    worker.start()
    try:
        eventually(lambda: worker._idle_s >= 0.2, 20, "it never became idle")
    finally:
        worker.stop(5_000)
    return _remembered(service)


def test_what_is_older_than_the_retention_is_forgotten(service: Service) -> None:
    before = _remembered(service)

    after = _works(parking(service, parking={"history_retention_ms": 30 * DAY_MS}), service)

    assert [before[name] - after[name] for name in before] == [{"old readers things"}] * 2


def test_nothing_is_forgotten_unasked(service: Service) -> None:
    before = _remembered(service)
    assert _works(parking(service), service) == before
