"""Rows that are in the way of their relay."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError, OperationalError

from streambind.outbound.outbox_status import outbox_status
from streambind.outbound.relay_state import RelayStatus
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import backlog, commit_keys
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire
from tests.services.process import wait_for


def test_rows_of_no_shard_are_refused_by_the_table(database: Database) -> None:
    commit_keys(database, [1])
    outbox, dialect = database.tables.outbox, database.engine.dialect
    if not getattr(dialect, "is_mariadb", True) and (dialect.server_version_info or ()) < (8, 0, 16):
        pytest.skip("MySQL checks from 8.0.16")
    for shard in (-1, SHARDS, SHARDS + 1):
        # The driver for MySQL has a class of its own for checks.
        with pytest.raises((IntegrityError, OperationalError), match="outbox_shard_range"):
            database.run(lambda c, shard=shard: c.execute(update(outbox).values(shard=shard)))  # type: ignore[misc]


def test_a_row_that_cannot_be_deleted_is_named_and_sent_ever_less_often(
    sqlite: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    commit_keys(sqlite, [1, 2])
    keep = "CREATE TRIGGER keep BEFORE DELETE ON sb_outbox WHEN old.key = x'31' BEGIN SELECT raise(IGNORE); END"
    sqlite.run(lambda c: c.exec_driver_sql(keep))
    wire = Wire()
    relay = start_relay(sqlite, wire.producer)

    assert wait_for(lambda: len(wire.sequences().get(b"1", ())) >= 4, 20)
    assert wait_for(lambda: "cannot be deleted" in relay.state.destinations.get("lectures", ""), 20)
    assert "row 1 of the outbox (binding out-lectures, key b'1')" in relay.state.destinations["lectures"]
    began, sent = time.monotonic(), len(wire.log)
    commit_keys(sqlite, [3], destination="others")
    relay.wake()
    assert wire.wait_for(lambda: bool(wire.sequences("others")))
    assert wait_for(lambda: len(wire.sequences()[b"1"]) >= 6, 20)
    assert time.monotonic() - began > 0.2 + 0.4, "two pauses more"
    assert len(wire.log) < sent + 6

    sqlite.run(lambda c: c.exec_driver_sql("DROP TRIGGER keep"))
    assert wait_for(lambda: backlog(sqlite) == 0, 20)
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)


def test_a_row_with_an_id_that_is_none_is_blocked_and_the_others_travel(
    sqlite: Database, start_relay: StartRelay
) -> None:
    """SQLite keeps whatever is written into a column."""
    commit_keys(sqlite, range(3), rounds=2)
    spoil = "UPDATE sb_outbox SET event_id = 'no id at all' WHERE id = 1"
    sqlite.run(lambda c: c.exec_driver_sql(spoil))
    wire = Wire()
    start_relay(sqlite, wire.producer)

    assert wait_for(lambda: backlog(sqlite) == 2, 20)
    [blocked] = outbox_status(sqlite).blocked
    assert blocked.key == b"0"
    assert "row 1 of the outbox cannot be read" in blocked.reason
    assert wire.sequences() == {b"1": [1, 2], b"2": [1, 2]}
