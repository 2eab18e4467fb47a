"""The relay's read: which rows, how many bytes, and by which plan."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from streambind.event_loop import EventLoop
from streambind.outbound.epoch import source_of
from streambind.outbound.lease import Leases
from streambind.outbound.relay_rows import OutboxRows
from streambind.outbound.wire_message import OutboxRow
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import backlog, commit, commit_keys, event
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire

ALL = frozenset(range(SHARDS))


def _rows(database: Database, batch_size: int = 500) -> OutboxRows:
    return OutboxRows(database, "relay-1", batch_size=batch_size, idle_limit_ms=5000)


def _read(
    database: Database, rows: OutboxRows, shards: Collection[int] = ALL, excluded: Collection[str] = ()
) -> list[OutboxRow]:
    source = source_of(database)
    return database.run(lambda connection: rows.read(connection, shards, excluded, source))


def test_the_oldest_first_whatever_the_shards(database: Database) -> None:
    commit_keys(database, range(50), rounds=2)
    rows = _rows(database)
    everything = _read(database, rows)

    assert [row.id for row in everything] == sorted(row.id for row in everything)
    assert len(everything) == 100
    some = {row.shard for row in everything[:5]}
    assert _read(database, rows, some) == [row for row in everything if row.shard in some]
    assert _read(database, rows, ()) == []
    assert {row.shard for row in everything} == ALL, "keys spread over all shards"


def test_at_most_a_batch_and_at_first_a_small_one(database: Database) -> None:
    commit_keys(database, range(150))
    rows = _rows(database)

    assert len(_read(database, rows)) == 100
    assert len(_read(database, rows)) == 150
    assert len(_read(database, _rows(database, batch_size=7), range(8))) == 7


def test_excluded_destinations_and_blocked_keys_are_left_out(database: Database) -> None:
    outbox = database.tables.outbox
    for destination in ("a", "b", "c"):
        commit(database, [event(key, destination=destination) for key in (b"1", b"2", None)])
    commit(database, [event(None, destination="c"), event(b"", destination="c")])
    keyless_ids = select(outbox.c.id).where(outbox.c.destination == "c", outbox.c.key.is_(None))
    keyless = database.run(lambda c: min(c.scalars(keyless_ids)))
    blocked = [("b", b"1", 0), ("c", b"", keyless)]
    values = [{"destination": d, "key": k, "row_id": r, "reason": "x", "since_ms": 0} for d, k, r in blocked]
    database.run(lambda c: c.execute(insert(database.tables.blocked), values))

    found = _read(database, _rows(database), excluded={"a", "z"})

    assert [(row.destination, row.key) for row in found] == [
        ("b", b"2"),
        ("b", None),
        ("c", b"1"),
        ("c", b"2"),
        ("c", None),
        ("c", b""),
    ]


def test_large_payloads_make_smaller_batches_and_small_ones_larger_again(database: Database) -> None:
    commit(database, [event(b"%d" % n, payload=b"x" * 1_000_000) for n in range(40)])
    commit_keys(database, range(200))
    rows, sizes = _rows(database, batch_size=50), []

    Leases(database, "relay-1", lease_ms=60_000).round(())
    while found := _read(database, rows):
        sizes.append(sum(len(row.payload or b"") for row in found))
        database.run(lambda c, found=found: rows.settle(c, found, []))  # type: ignore[misc]

    assert max(sizes[1:]) <= 16 * 1024 * 1024
    assert rows.limit == 50
    assert backlog(database) == 0


def test_only_rows_of_shards_that_are_held_are_deleted(database: Database) -> None:
    commit_keys(database, range(50))
    rows = _rows(database)
    found = _read(database, rows)

    assert database.run(lambda c: rows.settle(c, found, [])) == (0, [])
    Leases(database, "relay-1", lease_ms=60_000).round(())
    assert database.run(lambda c: rows.settle(c, found[:20], [])) == (20, [])
    assert database.run(lambda c: rows.settle(c, found, [])) == (30, [])


@pytest.fixture
def still_postgres(postgres_url: str) -> Iterator[Database]:
    """A database whose statistics change only when the test wants it."""
    database = Database.from_url(postgres_url, loop=EventLoop())
    create_tables(database)
    _alone(database, "ALTER TABLE sb_outbox SET (autovacuum_enabled = off, vacuum_truncate = off)")
    yield database
    database.dispose()


@pytest.mark.parametrize("behind", [False, True], ids=["nothing under way", "behind what is under way"])
@pytest.mark.parametrize("excluded", [False, True], ids=["all destinations", "without one"])
@pytest.mark.parametrize("shards", [ALL, frozenset(range(8))], ids=["all shards", "half of them"])
@pytest.mark.parametrize("before", ["never filled", "filled and emptied"])
def test_postgresql_walks_along_an_index_though_it_last_saw_the_outbox_empty(
    still_postgres: Database, before: str, shards: frozenset[int], excluded: bool, behind: bool
) -> None:
    """A backlog comes suddenly; a plan that sorts it for every read would make the relay ever slower."""
    if before == "filled and emptied":
        _fill(still_postgres, 20_000)
        _alone(still_postgres, "DELETE FROM sb_outbox")
    _alone(still_postgres, "VACUUM ANALYZE sb_outbox")
    _fill(still_postgres, 20_000)
    statement = _rows(still_postgres)._statement(shards, excluded, behind)
    statement = statement.params(at_most=500, above=0, excluded=["x"], under_way=[1, 2, 3])
    statement = statement.params(source_of(still_postgres)._asdict())
    compiled = statement.compile(
        still_postgres.engine, compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )

    def explain(connection: Connection) -> str:
        _rows(still_postgres).begin(connection)
        lines = connection.exec_driver_sql(f"EXPLAIN ANALYZE {compiled}".replace("%", "%%"))
        return "\n".join(line for (line,) in lines)

    plan = still_postgres.run(explain)

    assert "Seq Scan on sb_outbox" not in plan
    assert "Index Scan using sb_outbox_" in plan
    read = [float(count) for count in re.findall(r"Index Scan using sb_outbox_.*actual.*rows=([\d.]+)", plan)]
    assert max(read) <= 500, plan
    assert ("hashed SubPlan" in plan) is (behind or excluded)


def test_postgresql_does_not_keep_the_plan_of_an_empty_outbox(
    still_postgres: Database, start_relay: StartRelay
) -> None:
    """Drivers prepare statements after some runs, and the server keeps the plan: here while there is nothing."""
    wire, before = Wire(), _whole_scans(still_postgres)
    relay = start_relay(still_postgres, wire.producer, batch_size=100)
    for n in range(30):
        commit(still_postgres, [event(b"%d" % n)])
        relay.wake()
        assert wire.wait_for(lambda n=n: len(wire.log) == n + 1)  # type: ignore[misc]
    _fill(still_postgres, 5000)
    relay.wake()

    assert wire.wait_for(lambda: len(wire.log) == 5030)
    relay.stop(10_000)
    assert _whole_scans(still_postgres) == before


def _whole_scans(database: Database) -> int:
    """How often the outbox was read from one end to the other, by whom ever."""
    database.dispose()  # what a connection knows is counted at the latest when it closes
    with database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        return int(
            connection.exec_driver_sql(
                "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'sb_outbox'"
            ).scalar_one()
        )


def _fill(database: Database, rows: int) -> None:
    """Many rows, quickly."""
    _alone(
        database,
        "INSERT INTO sb_outbox (shard, binding, destination, key, seq, event_id, payload, headers, created_ms) "
        "SELECT n % 16, 'out-a', 'a', convert_to(n::text, 'UTF8'), 1, gen_random_uuid(), "
        f"convert_to(repeat('x', 300), 'UTF8'), '[]', 0 FROM generate_series(1, {rows}) AS n",
    )


def _alone(database: Database, statement: str) -> list[Any]:
    """Run one statement outside a transaction; the first column of its rows."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        done = connection.exec_driver_sql(statement.replace("%", "%%"))
        return [row[0] for row in done] if done.returns_rows else []
