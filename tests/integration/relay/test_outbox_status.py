"""What health and the command line say about the outbox."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from streambind.outbound.lease import Leases
from streambind.outbound.outbox_status import BlockedKey, ShardLease, outbox_status, unblock
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import commit_keys
from tests.integration.relay.conftest import DatabaseClock


def test_an_empty_outbox(any_engine: Database) -> None:
    status = outbox_status(any_engine)

    assert (status.backlog, status.oldest_ms, status.blocked) == (0, None, ())
    assert [(lease.shard, lease.owner) for lease in status.leases] == [(shard, None) for shard in range(SHARDS)]
    assert all(lease.expires_in_ms < 0 for lease in status.leases)


def test_backlog_age_blocked_keys_and_leases(database: Database, database_clock: DatabaseClock) -> None:
    commit_keys(database, range(3))
    database_clock.advance(4000)
    commit_keys(database, range(3))
    blocked = {"destination": "lectures", "key": b"7", "reason": "too large", "since_ms": 1_004_000}
    database.run(lambda c: c.execute(insert(database.tables.blocked).values(blocked)))
    Leases(database, "relay-1", lease_ms=10_000).round(())
    database_clock.advance(500)

    status = outbox_status(database)

    assert status.backlog == 6
    assert status.oldest_ms == 4500
    assert status.blocked == (BlockedKey("lectures", b"7", "too large", 500),)
    assert status.leases == tuple(ShardLease(shard, "relay-1", 9500) for shard in range(SHARDS))


def test_a_backlog_is_counted_no_further_than_people_care(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streambind.outbound.outbox_status.MOST_COUNTED", 7)
    commit_keys(database, range(20))

    assert outbox_status(database).backlog == 7


def test_unblocking_one_key_or_several(database: Database) -> None:
    rows = [
        {"destination": destination, "key": key, "reason": "x", "since_ms": 0}
        for destination, key in [("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"1")]
    ]
    database.run(lambda c: c.execute(insert(database.tables.blocked), rows))

    one, *others = [entry for entry in outbox_status(database).blocked if entry.destination == "a"]
    assert unblock(database, [one]) == 1
    assert unblock(database, [one, *others]) == 2
    assert unblock(database, []) == 0
    assert [(entry.destination, entry.key) for entry in outbox_status(database).blocked] == [("b", b"1")]
