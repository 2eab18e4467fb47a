"""The database goes away, and defects: the relay says so once and goes on by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError, ProgrammingError

from streambind.event_loop import EventLoop
from streambind.outbound.relay_state import RelayStatus
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.relay.commits import backlog, commit_keys, committed
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire, gaps, missing
from tests.services import AnyMySQLServer, PostgresServer
from tests.services.process import wait_for

T = TypeVar("T")


class Fails:
    """Makes `Database.run` raise while `error` is set; the work may have been done (`after`) or not."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.after = False
        self.count = 0
        self._run: Callable[..., Any] = database.run
        monkeypatch.setattr(database, "run", self.run)

    def run(self, work: Callable[[Connection], T]) -> T:
        if self.error is not None and not self.after:
            self.count += 1
            raise self.error
        done: T = self._run(work)
        if self.error is not None:
            self.count += 1
            raise self.error
        return done


def _locked() -> OperationalError:
    return OperationalError("SELECT", {}, Exception("database is locked"))


def test_with_the_database_away_it_is_degraded_and_says_so_once(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streambind.relay")
    fails, wire = Fails(sqlite, monkeypatch), Wire()
    relay = start_relay(sqlite, wire.producer)
    assert wait_for(lambda: bool(relay.state.shards), 20)
    fails.error = _locked()

    assert wait_for(lambda: fails.count >= 3, 20)
    state = relay.state
    fails.error = None
    commit_keys(sqlite, range(5))

    assert state.status is RelayStatus.DEGRADED
    assert "database is locked" in (state.last_error or "")
    assert wire.wait_for(lambda: len(wire.log) == 5)
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)
    said = [r.getMessage() for r in caplog.records if "is away" in r.getMessage() or "goes on" in r.getMessage()]
    assert [text[:47] for text in said] == ["relay: the database is away; it tries again unt", "relay: goes on"]


def test_no_key_stands_in_the_log(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the engine is the application's own, and tells its statements' parameters."""
    fails, wire = Fails(sqlite, monkeypatch), Wire()
    relay = start_relay(sqlite, wire.producer)
    assert wait_for(lambda: bool(relay.state.shards), 20)
    fails.error = ProgrammingError("DELETE", {"key": b"alice@example.com"}, Exception("no such column"))

    assert wait_for(lambda: fails.count >= 2, 20)
    fails.error = None
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)

    assert "a defect" in caplog.text
    assert "no such column" in caplog.text
    assert "alice" not in caplog.text


def test_what_was_to_be_read_when_it_went_away_is_read_when_it_is_back(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, wire = Fails(sqlite, monkeypatch), Wire()
    relay = start_relay(sqlite, wire.producer, poll_interval_ms=3_600_000)
    assert wait_for(lambda: bool(relay.state.shards), 20)
    commit_keys(sqlite, [7])
    fails.error = _locked()
    relay.wake()
    assert wait_for(lambda: fails.count > 0, 20)

    fails.error = None

    assert wire.wait_for(lambda: len(wire.log) == 1)


def test_the_tries_get_rarer(sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = Fails(sqlite, monkeypatch)
    fails.error = _locked()
    relay = start_relay(sqlite, Wire().producer)
    began = time.monotonic()

    def has_tried_again() -> bool:
        relay.wake()  # commits go on elsewhere; they must not make it try without a pause
        return fails.count >= 4

    assert wait_for(has_tried_again, 20)
    assert time.monotonic() - began >= 0.05 + 0.1 + 0.2


def test_a_defect_is_logged_with_its_traceback_and_tried_again(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails, wire = Fails(sqlite, monkeypatch), Wire()
    relay = start_relay(sqlite, wire.producer)
    assert wait_for(lambda: bool(relay.state.shards), 20)
    fails.error = ZeroDivisionError("a defect")

    assert wait_for(lambda: relay.state.status is RelayStatus.FAILED, 20)
    assert relay.state.last_error == "ZeroDivisionError: a defect"
    fails.error = None
    commit_keys(sqlite, range(5))

    assert wire.wait_for(lambda: len(wire.log) == 5)
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)
    assert "Traceback" in caplog.text


def test_a_commit_whose_reply_is_lost_sends_nothing_out_of_order(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, wire = Fails(sqlite, monkeypatch), Wire()
    fails.after = True
    commit_keys(sqlite, range(30), rounds=10)
    start_relay(sqlite, wire.producer, batch_size=20)

    for n in range(1, 6):
        assert wire.wait_for(lambda n=n: len(wire.log) >= 30 * n)  # type: ignore[misc]
        seen, fails.error = fails.count, _locked()
        assert wait_for(lambda seen=seen: fails.count > seen, 20)  # type: ignore[misc]
        fails.error = None

    assert wait_for(lambda: backlog(sqlite) == 0, 20)
    assert missing(wire.sequences(), committed(sqlite)) == []
    assert gaps(wire.sequences()) == []


def test_a_binder_that_raises_is_a_destinations_trouble_only(
    sqlite: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    def answer(message: object) -> None:
        if broken:
            raise ZeroDivisionError("a defect in the binder")

    wire = Wire(answer)
    commit_keys(sqlite, range(5))
    relay = start_relay(sqlite, wire.producer)

    assert wait_for(lambda: "ZeroDivisionError" in relay.state.destinations.get("lectures", ""), 20)
    broken = False

    assert wire.wait_for(lambda: len(wire.log) == 5)


def test_stop_ends_with_the_database_away(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, wire = Fails(sqlite, monkeypatch), Wire()
    relay = start_relay(sqlite, wire.producer)
    assert wait_for(lambda: bool(relay.state.shards), 20)
    fails.error = _locked()
    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)

    began = time.monotonic()
    relay.stop(60_000)

    assert time.monotonic() - began < 20


@pytest.fixture(
    params=[
        pytest.param("own_postgres", marks=pytest.mark.postgres),
        pytest.param("own_mariadb", marks=pytest.mark.mariadb),
    ]
)
def own_server(request: pytest.FixtureRequest) -> PostgresServer | AnyMySQLServer:
    """A server to be crashed."""
    server: PostgresServer | AnyMySQLServer = request.getfixturevalue(request.param)
    return server


def test_a_crashed_server_is_waited_for_and_nothing_is_lost(
    own_server: PostgresServer | AnyMySQLServer, start_relay: StartRelay
) -> None:
    url, wire = own_server.new_database(), Wire()
    relays, database = (Database.from_url(url, loop=EventLoop()) for _ in range(2))
    create_tables(database)
    relay = start_relay(relays, wire.producer, batch_size=50)
    commit_keys(database, range(50), rounds=20)
    assert wire.wait_for(lambda: len(wire.log) > 100)
    database.dispose()

    own_server.crash()
    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)
    own_server.restart()

    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 60)
    commit_keys(database, range(50))
    relay.wake()
    assert wait_for(lambda: backlog(database) == 0, 30)
    assert missing(wire.sequences(), committed(database)) == []
    assert gaps(wire.sequences()) == []
    relay.stop(5000)
    relays.dispose()
    database.dispose()


def test_it_is_degraded_while_rows_wait_for_leases_that_nobody_renews(
    database: Database, start_relay: StartRelay
) -> None:
    lease, wire = database.tables.lease, Wire()
    now_ms = int(database.run(lambda c: c.scalar(select(database.dialect.now_ms))) or 0)
    ahead = update(lease).values(owner="dead", expires_ms=now_ms + 6000)
    database.run(lambda c: c.execute(ahead))
    commit_keys(database, range(5))

    relay = start_relay(database, wire.producer, lease_ms=1000)

    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)
    assert "dead" in (relay.state.last_error or "")
    assert wire.wait_for(lambda: len(wire.log) == 5), "they run out at last"
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)


def test_leases_that_end_in_a_day_stop_nothing(database: Database, start_relay: StartRelay) -> None:
    lease, wire = database.tables.lease, Wire()
    now_ms = int(database.run(lambda c: c.scalar(select(database.dialect.now_ms))) or 0)
    ahead = update(lease).values(owner="dead", expires_ms=now_ms + 86_400_000)
    database.run(lambda c: c.execute(ahead))
    commit_keys(database, range(5))

    start_relay(database, wire.producer)

    assert wire.wait_for(lambda: len(wire.log) == 5)


def test_it_is_degraded_while_the_database_does_not_answer_at_all(
    database: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, answers = database.run, threading.Event()
    answers.set()

    def hangs(work: Callable[[Connection], T]) -> T:
        answers.wait(60)
        return run(work)

    monkeypatch.setattr(database, "run", hangs)
    relay = start_relay(database, Wire().producer, lease_ms=1000)
    assert wait_for(lambda: bool(relay.state.shards), 20)
    assert relay.state.status is RelayStatus.RUNNING
    answers.clear()

    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)
    assert "the database has not answered for" in (relay.state.last_error or "")

    answers.set()
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)
