"""An outbox that fills up."""

from __future__ import annotations

import logging

import pytest

from streambind.outbound.relay_state import RelayStatus
from streambind.persistence.database import Database
from tests.integration.relay.commits import backlog, commit_keys
from tests.integration.relay.conftest import DatabaseClock, StartRelay
from tests.integration.relay.wire import Wire, WireProducer
from tests.services.process import wait_for


def _held() -> tuple[Wire, WireProducer]:
    """A wire on which nothing of `lectures` travels until it is released."""
    wire = Wire()
    producer = wire.producer("lectures")
    assert producer is not None
    producer.hold()
    return wire, producer


def test_too_many_rows_are_said_once_and_degrade_until_they_are_half_as_many(
    database: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streambind.relay")
    wire, producer = _held()
    commit_keys(database, range(30))
    relay = start_relay(database, wire.producer, high_water=20, lease_ms=1000)

    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)
    assert "above streambind.outbox.high-water (20)" in (relay.state.last_error or "")
    commit_keys(database, range(10))
    assert wait_for(lambda: relay.state.backlog == 40, 20)
    assert caplog.text.count("above streambind.outbox.high-water") == 1

    producer.release()
    assert wait_for(lambda: backlog(database) == 0, 20)
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)
    assert "no longer too many" in caplog.text


def test_a_row_that_grows_old_is_said_once_and_degrades_until_it_is_sent(
    database: Database, database_clock: DatabaseClock, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streambind.relay")
    wire, producer = _held()
    commit_keys(database, range(1))
    relay = start_relay(database, wire.producer, high_water_age_ms=600_000, lease_ms=1000)
    database_clock.advance(599_000)
    commit_keys(database, range(1, 2))
    assert wait_for(lambda: relay.state.backlog == 2, 20)
    assert relay.state.status is RelayStatus.RUNNING

    database_clock.advance(2000)
    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)
    assert "waited in the outbox for 601 s, above streambind.outbox.high-water-age (600 s)" in (
        relay.state.last_error or ""
    )
    commit_keys(database, range(2, 3))
    assert wait_for(lambda: relay.state.backlog == 3, 20)
    assert caplog.text.count("above streambind.outbox.high-water-age") == 1

    producer.release()
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)
    assert "no longer too long" in caplog.text
