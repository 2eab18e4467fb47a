"""One relay on real databases: what is committed travels, in order, and then is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from streambind.binding.outcome import Failed, Unknown
from streambind.errors import BrokerUnavailableError, SendError
from streambind.message import EVENT_ID, ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound import relay_unsettled
from streambind.outbound.outbox import Outbox
from streambind.outbound.outbox_status import outbox_status, unblock
from streambind.outbound.relay_rows import OutboxRows
from streambind.outbound.relay_state import RelayStatus
from streambind.outbound.wire_message import OutboxRow
from streambind.persistence.database import Database
from tests.integration.relay.commits import backlog, commit, commit_keys, committed, event
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire, gaps, missing, overtaken
from tests.services.process import wait_for


def _settled(database: Database) -> bool:
    return wait_for(lambda: backlog(database) == 0, 20)


def test_everything_committed_travels_in_order_and_is_deleted(
    any_engine: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    commit_keys(any_engine, range(40), rounds=5)
    start_relay(any_engine, wire.producer, batch_size=33)
    commit_keys(any_engine, range(20, 60), rounds=5)

    assert _settled(any_engine)
    assert missing(wire.sequences(), committed(any_engine)) == []
    assert [len(numbers) for numbers in wire.sequences().values()] == [
        max(numbers) for numbers in wire.sequences().values()
    ]
    assert gaps(wire.sequences()) == overtaken(wire.sequences()) == []


def test_rows_that_come_one_after_the_other_travel_at_once_and_are_deleted_together(
    database: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletes: list[int] = []
    settle = OutboxRows.settle

    def counted(self: OutboxRows, connection: Connection, delivered: Sequence[OutboxRow], blocked: Any) -> Any:
        deletes.append(len(delivered))
        return settle(self, connection, delivered, blocked)

    monkeypatch.setattr(OutboxRows, "settle", counted)
    monkeypatch.setattr(relay_unsettled, "_LONGEST_S", 1.0)
    wire = Wire()
    relay = start_relay(database, wire.producer)
    for number in range(1, 9):
        commit(database, [event(b"7")])
        relay.wake()
        assert wire.wait_for(lambda sent=number: len(wire.messages) == sent)  # type: ignore[misc]

    assert _settled(database)
    assert wire.sequences() == {b"7": [*range(1, 9)]}
    assert sum(deletes) == 8
    assert len(deletes) < 8


def test_a_message_carries_key_payload_headers_id_and_origin(database: Database, start_relay: StartRelay) -> None:
    wire = Wire()
    outgoing = event(b"7", payload='{"categoryName":"최종테스트"}'.encode())
    commit(database, [outgoing, event(None, payload=None)])
    start_relay(database, wire.producer)

    assert wire.wait_for(lambda: len(wire.messages) == 2)
    keyed, keyless = sorted(wire.messages, key=lambda m: m.key is None)
    source = database.run(lambda c: c.execute(select(database.tables.source)).one())
    assert (keyed.key, keyed.payload) == (b"7", outgoing.payload)
    assert keyed.headers["contentType"] == "application/json"
    assert keyed.headers[EVENT_ID] == str(outgoing.event_id)
    assert keyed.headers[ORIGIN] == str(Origin(source.source_id, source.epoch, "lectures", 1))
    assert (keyless.key, keyless.payload) == (None, None)
    assert ORIGIN not in keyless.headers


@pytest.mark.usefixtures("without_polling")
def test_waking_sends_at_once_however_long_the_poll_interval(
    any_engine: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    commit_keys(any_engine, range(200))
    relay = start_relay(any_engine, wire.producer, lease_ms=3_600_000)
    # Every shard had a row. Now that all of them are gone the relay looks no more: what it reads after a send it
    # reads in the transaction that deletes the rows.
    assert _settled(any_engine)

    for _ in range(5):
        commit_keys(any_engine, [7])
        relay.wake()
        assert _settled(any_engine)


def test_without_waking_the_poll_finds_it(database: Database, start_relay: StartRelay) -> None:
    wire = Wire()
    start_relay(database, wire.producer, poll_interval_ms=50)

    for n in range(1, 4):
        commit_keys(database, [7])
        assert wire.wait_for(lambda n=n: len(wire.log) == n)  # type: ignore[misc]


def test_nothing_of_an_open_transaction_travels_and_others_do_not_wait_for_it(
    several_writers: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    relay = start_relay(several_writers, wire.producer)
    first_id_taken, may_commit = threading.Event(), threading.Event()

    def long_transaction() -> None:
        with several_writers.engine.begin() as connection:
            Outbox(several_writers).write(connection, [event(b"slow")])
            first_id_taken.set()
            may_commit.wait(20)

    slow = threading.Thread(target=long_transaction)
    slow.start()
    assert first_id_taken.wait(20)
    commit_keys(several_writers, range(20))
    relay.wake()
    assert wire.wait_for(lambda: len(wire.log) == 20)

    may_commit.set()
    slow.join(20)
    relay.wake()

    assert wire.wait_for(lambda: len(wire.log) == 21)
    assert wire.sequences()[b"slow"] == [1]


def test_what_fails_for_now_is_sent_again_and_the_log_ends_in_order(
    database: Database, start_relay: StartRelay
) -> None:
    failing = {"left": 40}

    def answer(message: Message) -> Failed | Unknown | None:
        if (message.key or b"").endswith(b"3") and failing["left"] > 0:
            failing["left"] -= 1
            return Failed(SendError("not now"), permanent=False) if failing["left"] % 2 else Unknown("no report")
        return None

    wire = Wire(answer)
    commit_keys(database, range(20), rounds=6)
    start_relay(database, wire.producer, batch_size=50)

    assert _settled(database)
    assert missing(wire.sequences(), committed(database)) == []
    assert overtaken(wire.sequences()) == []
    assert wire.sequences()[b"4"] == [1, 2, 3, 4, 5, 6]


def test_a_refused_row_blocks_its_key_only_until_somebody_unblocks_it(
    database: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = True
    refused = Failed(SendError("INVALID_RECORD"), permanent=True)
    wire = Wire(lambda m: refused if refusing and m.key == b"3" and m.headers[ORIGIN].endswith("/2") else None)  # type: ignore[attr-defined]
    relay = start_relay(database, wire.producer, lease_ms=1000)
    for _ in range(4):
        commit_keys(database, range(6))
    relay.wake()

    assert wait_for(lambda: backlog(database) == 3, 20)
    status = outbox_status(database)
    assert [(b.destination, b.key, b.reason) for b in status.blocked] == [
        ("lectures", b"3", "SendError: INVALID_RECORD")
    ]
    assert status.backlog == 3
    assert wait_for(lambda: relay.state.blocked == 1 and relay.state.backlog == 3, 20)
    assert relay.state.status is RelayStatus.RUNNING
    assert wire.sequences()[b"4"] == [1, 2, 3, 4]
    assert caplog.text.count("refuses 1 messages for good") == 1
    assert "binding out-lectures" in caplog.text

    refusing = False
    assert unblock(database, status.blocked) == 1

    assert _settled(database)
    assert overtaken(wire.sequences()) == []
    assert missing(wire.sequences(), committed(database)) == []


def test_a_refused_row_without_key_blocks_itself_alone(database: Database, start_relay: StartRelay) -> None:
    refusing = True
    refused = Failed(SendError("too large"), permanent=True)
    wire = Wire(lambda m: refused if refusing and m.payload == b"bad" and not m.key else None)
    relay = start_relay(database, wire.producer)
    commit(
        database, [event(None, payload=b"bad"), event(None), event(b"1"), event(b"", payload=b"bad"), event(b"")]
    )
    commit(database, [event(None, payload=b"bad"), event(None)])
    relay.wake()

    assert wait_for(lambda: backlog(database) == 4, 20)
    blocked = outbox_status(database).blocked
    assert sorted((b.key is None, b.key, b.row_id != 0) for b in blocked) == [
        (False, b"", False),
        (True, None, True),
        (True, None, True),
    ]
    assert [m.key for m in wire.messages].count(None) == 2

    refusing = False
    assert unblock(database, [b for b in blocked if b.key is None][:1]) == 1
    relay.wake()
    assert wait_for(lambda: backlog(database) == 3, 20)
    assert unblock(database, outbox_status(database).blocked) == 2
    relay.wake()
    assert _settled(database)


def test_rows_of_nobody_here_stay_and_do_not_keep_others_from_travelling(
    database: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    wire.foreign = {"others", "renamed"}
    commit_keys(database, range(100), destination="others")
    commit_keys(database, range(100), destination="renamed")
    commit_keys(database, range(10))
    relay = start_relay(database, wire.producer, batch_size=20)

    assert wire.wait_for(lambda: len(wire.log) == 10)
    assert wait_for(lambda: backlog(database) == 200, 20)
    commit_keys(database, range(10))
    relay.wake()
    assert wire.wait_for(lambda: len(wire.log) == 20)
    assert set(relay.state.destinations) == {"others", "renamed"}
    assert relay.state.status is RelayStatus.DEGRADED
    lines = [r.getMessage() for r in caplog.records if "stay in the outbox" in r.getMessage()]
    assert len(lines) == 1
    assert "destination others (written for binding out-others)" in lines[0]
    assert "streambind.datasource.schema" in lines[0]


def test_a_broker_that_is_away_at_the_start_is_waited_for(
    database: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    wire.away = BrokerUnavailableError("binding out-lectures is waiting: no broker at localhost:1")
    commit_keys(database, range(5))
    relay = start_relay(database, wire.producer)

    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)
    assert "no broker at localhost:1" in relay.state.destinations["lectures"]
    assert "destination lectures: BrokerUnavailableError" in (relay.state.last_error or "")
    wire.away = None

    assert _settled(database)
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 20)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


def test_a_destination_that_does_not_answer_holds_up_neither_others_nor_the_leases(
    database: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    stuck = wire.producer("stuck")
    assert stuck is not None
    stuck.hold()
    commit_keys(database, range(10), destination="stuck")
    relay = start_relay(database, wire.producer, lease_ms=1000, batch_size=5)
    assert stuck.sending.wait(20)

    renewals: set[int] = set()

    def renewed() -> bool:
        lease = database.tables.lease
        renewals.add(database.run(lambda c: c.scalar(select(func.min(lease.c.expires_ms)))) or 0)
        commit_keys(database, [1])
        relay.wake()
        return len(renewals) >= 5

    assert wait_for(renewed, 20)
    assert wait_for(lambda: backlog(database) == 10, 20)
    assert gaps(wire.sequences()) == []

    stuck.release()
    assert _settled(database)
