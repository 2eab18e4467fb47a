"""The floor on PostgreSQL: dumps do not hold it down, open writers do, and no message is lost or overtaken."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from streambind.event_loop import EventLoop
from streambind.outbound import relay_floor
from streambind.outbound.outbox import Outbox
from streambind.outbound.relay_floor import Floor, Look
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.relay.commits import backlog, commit_keys, committed, event
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire, gaps, missing, overtaken
from tests.services.process import wait_for


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database.from_url(postgres_url, loop=EventLoop())
    create_tables(database)
    yield database
    database.dispose()


@pytest.fixture
def always_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The floor is in use from the first read on, looks all the time, and nothing is read from the bottom."""
    monkeypatch.setattr(relay_floor, "_SLOW_S", -1.0)
    monkeypatch.setattr(relay_floor, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(relay_floor, "_WHOLE_EVERY_S", 1e9)


def _look(database: Database, floor: Floor, times: int = 3) -> int:
    for _ in range(times):
        database.run(floor.look)
    return floor.value


def _relay_all(database: Database, floor: Floor) -> int:
    """Delete what is visible, as a relay would; returns the highest id."""
    outbox = database.tables.outbox
    highest: int = database.run(lambda c: max(c.scalars(delete(outbox).returning(outbox.c.id))))
    floor.has_deleted(highest)
    return highest


def test_an_open_reader_does_not_hold_it_down(database: Database) -> None:
    floor = Floor(database)
    with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as dump:
        dump.exec_driver_sql("SELECT count(*) FROM sb_outbox")
        commit_keys(database, range(10))
        highest = _relay_all(database, floor)

        assert _look(database, floor) == highest


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_an_open_writer_holds_it_down_until_its_rows_are_gone(database: Database, end: str) -> None:
    floor = Floor(database)
    commit_keys(database, range(5))
    with database.engine.connect() as late:
        Outbox(database).write(late, [event(b"late")])
        commit_keys(database, range(5))
        highest = _relay_all(database, floor)
        assert _look(database, floor) == 0
        getattr(late, end)()

    if end == "commit":
        assert _look(database, floor) == 5
        assert _relay_all(database, floor) == 6
    assert _look(database, floor) == highest


def test_rows_that_stay_hold_it_down(database: Database) -> None:
    floor, outbox = Floor(database), database.tables.outbox
    commit_keys(database, range(10))
    database.run(lambda c: c.execute(delete(outbox).where(outbox.c.id != 4)))
    floor.has_deleted(10)

    assert _look(database, floor) == 3


def _write_in_all_ways(database: Database, seed: int) -> None:
    """Transactions that overlap, roll back, use savepoints, over few keys."""
    chance, outbox = random.Random(seed), Outbox(database)
    for _ in range(60):
        keys = [b"%d" % key for key in sorted(chance.sample(range(12), chance.randint(1, 3)))]
        with database.engine.connect() as connection:
            outbox.write(connection, [event(key) for key in keys])
            if chance.random() < 0.3:
                with connection.begin_nested() as savepoint:
                    outbox.write(connection, [event(b"z%d" % seed)])
                    if chance.random() < 0.5:
                        savepoint.rollback()
            connection.rollback() if chance.random() < 0.2 else connection.commit()


def _commit_late(database: Database, wire: Wire, others_are_done: threading.Event) -> None:
    """Transactions that stay open until later rows of others have travelled; their key is nobody else's."""
    while not others_are_done.is_set():
        with database.engine.connect() as connection:
            Outbox(database).write(connection, [event(b"late")])
            before = len(wire.log)
            wire.wait_for(lambda before=before: len(wire.log) > before + 5 or others_are_done.is_set(), 60)  # type: ignore[misc]
            connection.commit()


@pytest.mark.usefixtures("always_slow")
def test_with_the_floor_in_use_nothing_is_lost_or_overtaken(database: Database, start_relay: StartRelay) -> None:
    wire, done = Wire(), threading.Event()
    start_relay(database, wire.producer, batch_size=10, poll_interval_ms=50)
    writers = [threading.Thread(target=_write_in_all_ways, args=(database, seed)) for seed in range(4)]
    late = threading.Thread(target=_commit_late, args=(database, wire, done))
    for thread in (late, *writers):
        thread.start()
    for writer in writers:
        writer.join(60)
    done.set()
    with wire.arrived:
        wire.arrived.notify_all()
    late.join(60)

    assert wait_for(lambda: backlog(database) == 0, 20)
    assert missing(wire.sequences(), committed(database)) == []
    assert gaps(wire.sequences()) == overtaken(wire.sequences()) == []


def _relay_past_an_open_writer(
    database: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> Wire:
    """Rows with higher ids travel, and the relay looks where its floor may be, before the writer commits; and then
    once more, after another commit that it has noticed."""
    wire, take = Wire(), Floor.take
    looks: list[Look] = []

    def counted(self: Floor, look: Look) -> None:
        take(self, look)
        looks.append(look)

    monkeypatch.setattr(Floor, "take", counted)
    with database.engine.connect() as late:
        Outbox(database).write(late, [event(b"late")])
        commit_keys(database, range(5))
        start_relay(database, wire.producer, poll_interval_ms=50)
        assert wait_for(lambda: backlog(database) == 0, 20)
        so_far = len(looks)
        assert wait_for(lambda: len(looks) >= so_far + 4, 20)
        late.commit()
    commit_keys(database, [7])
    assert wire.wait_for(lambda: b"7" in wire.sequences())
    return wire


@pytest.mark.usefixtures("always_slow")
def test_what_an_open_writer_commits_at_last_travels(
    database: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = _relay_past_an_open_writer(database, start_relay, monkeypatch)

    assert wait_for(lambda: backlog(database) == 0, 20)
    assert missing(wire.sequences(), committed(database)) == []


@pytest.mark.usefixtures("always_slow")
def test_the_checker_catches_a_floor_that_does_not_wait_for_open_transactions(
    database: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(self: Floor, look: Look) -> None:
        self.value = self._highest_deleted if look.lowest is None else look.lowest - 1

    monkeypatch.setattr(Floor, "take", take)
    wire = _relay_past_an_open_writer(database, start_relay, monkeypatch)

    assert missing(wire.sequences(), committed(database)) == ["key b'late': committed 1..1, travelled []"]
