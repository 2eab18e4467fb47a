"""A restored source: its relays notice the new epoch with the first row that is written under it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from sqlalchemy import Connection, delete, update

from streambind.message import ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound.epoch import raise_epoch, source_of, travelled
from streambind.outbound.relay_rows import OutboxRows
from streambind.outbound.wire_message import OutboxRow, Source
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import commit_keys
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire
from tests.services.process import wait_for


def epochs(wire: Wire) -> list[int]:
    origins = (Origin.parse(str(message.headers[ORIGIN])) for message in wire.messages)
    return [origin.epoch for origin in origins if origin is not None]


def raised_while_a_relay_runs(database: Database, start_relay: StartRelay) -> list[int]:
    wire = Wire()
    commit_keys(database, [7])
    relay = start_relay(database, wire.producer, lease_ms=3_600_000, poll_interval_ms=50)
    assert wire.wait_for(lambda: len(wire.log) == 1)
    assert wait_for(lambda: relay.state.shards == tuple(range(SHARDS)), 20)
    assert raise_epoch(database, source_of(database), 2)
    commit_keys(database, [7, 8])
    assert wire.wait_for(lambda: len(wire.log) == 3)
    return epochs(wire)


def test_a_running_relay_sends_no_later_row_under_the_old_epoch(
    any_engine: Database, start_relay: StartRelay
) -> None:
    assert raised_while_a_relay_runs(any_engine, start_relay) == [1, 2, 2]


def test_a_relay_that_asks_once_would_not_notice(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = OutboxRows.read

    def whatever_the_source(
        rows: OutboxRows,
        connection: Connection,
        shards: Collection[int],
        excluded: Collection[str],
        source: Source,
        **further: Any,
    ) -> list[OutboxRow]:
        return read(rows, connection, shards, excluded, rows.source(connection), **further)

    monkeypatch.setattr(OutboxRows, "read", whatever_the_source)
    assert raised_while_a_relay_runs(sqlite, start_relay) == [1, 1, 1]


def test_no_row_is_read_under_another_epoch_than_the_known_one(database: Database) -> None:
    commit_keys(database, [7])
    rows, known = OutboxRows(database, "relay-1", batch_size=10, idle_limit_ms=5000), source_of(database)
    assert raise_epoch(database, known, 2)

    def read(source: Source) -> list[OutboxRow]:
        return database.run(lambda connection: rows.read(connection, range(SHARDS), (), source))

    assert read(known) == []
    assert read(known._replace(source_id="another", epoch=2)) == []
    assert len(read(known._replace(epoch=2))) == 1


def test_of_two_operators_one_raises_it(database: Database) -> None:
    seen = source_of(database)
    assert raise_epoch(database, seen, 2)
    assert not raise_epoch(database, seen, 2)
    assert source_of(database) == Source(seen.source_id, 2)


def _event(source_id: str, key: bytes, seq: int, *, epoch: int = 1, destination: str = "lectures") -> Message:
    origin = str(Origin(source_id, epoch, destination, seq)).encode()
    return Message(b"{}", key, raw_headers=[(ORIGIN, origin)], destination="lectures")


def test_numbers_that_the_database_has_not_given_speak_of_a_restore(database: Database) -> None:
    commit_keys(database, [1, 2, 3], rounds=2)
    source = source_of(database)
    keys = database.tables.key
    database.run(lambda c: c.execute(update(keys).where(keys.c.key == b"1").values(seq=1)))
    database.run(lambda c: c.execute(delete(keys).where(keys.c.key == b"2")))
    mine = [_event(source.source_id, b"%d" % n, 2) for n in (1, 2, 3)]
    others = [
        Message(b"{}", b"1", destination="lectures"),
        Message(b"{}", b"1", raw_headers=[(ORIGIN, b"nonsense")], destination="lectures"),
        _event("another", b"1", 9, epoch=9),
        _event(source.source_id, b"3", 9, epoch=9, destination="elsewhere"),
    ]
    found = travelled(database, source, [*others, *mine])
    assert (found.events, found.epoch) == (3, 1)
    assert list(found.ahead) == [("lectures", b"1", 2, 1), ("lectures", b"2", 2, 0)]
    # Once the epoch is raised, they are of the history that was left behind.
    assert list(travelled(database, Source(source.source_id, 2), mine).ahead) == []
    # The backup was restored a second time: its epoch is the first again.
    again = travelled(database, source, [*mine, _event(source.source_id, b"3", 1, epoch=4)])
    assert again.epoch == 4
