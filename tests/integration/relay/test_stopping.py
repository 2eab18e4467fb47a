"""Starting and stopping a relay."""

from __future__ import annotations

import threading
import time

from sqlalchemy import delete

from streambind.configuration.properties import OutboxProperties
from streambind.errors import BrokerUnavailableError
from streambind.outbound.outbox_status import outbox_status
from streambind.outbound.relay import Relay
from streambind.outbound.relay_state import RelayStatus
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import backlog, commit_keys
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire
from tests.services.process import wait_for


def test_stop_sends_what_is_committed_and_lets_the_leases_go(
    any_engine: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    relay = start_relay(any_engine, wire.producer, poll_interval_ms=3_600_000, batch_size=10)
    assert wait_for(lambda: len(relay.state.shards) == SHARDS, 20)
    commit_keys(any_engine, range(100))

    relay.stop(20_000)

    assert backlog(any_engine) == 0
    assert len(wire.log) == 100
    assert [lease.owner for lease in outbox_status(any_engine).leases] == [None] * SHARDS
    assert relay.state.status is RelayStatus.STOPPED
    assert _relay_threads() == []


def test_stop_returns_in_time_with_a_dead_broker_and_keeps_the_rows(
    database: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    producer = wire.producer("lectures")
    assert producer is not None
    commit_keys(database, range(10))
    producer.hold()
    relay = start_relay(database, wire.producer)
    assert producer.sending.wait(20)

    began = time.monotonic()
    relay.stop(500)

    assert time.monotonic() - began < 20
    assert backlog(database) == 10
    assert wait_for(lambda: [lease.owner for lease in outbox_status(database).leases] == [None] * SHARDS, 10)
    assert wait_for(lambda: _relay_threads() == [], 10)


def test_stop_does_not_wait_for_a_broker_that_is_known_to_be_away(
    database: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    wire.away = BrokerUnavailableError("away")
    commit_keys(database, range(10))
    relay = start_relay(database, wire.producer)
    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 20)

    began = time.monotonic()
    relay.stop(60_000)

    assert time.monotonic() - began < 20
    assert backlog(database) == 10


def test_stop_sends_the_rest_though_a_row_that_travelled_was_taken_away_meanwhile(
    database: Database, start_relay: StartRelay
) -> None:
    wire, outbox = Wire(), database.tables.outbox
    producer = wire.producer("lectures")
    assert producer is not None
    producer.hold()
    commit_keys(database, [7])
    relay = start_relay(database, wire.producer, poll_interval_ms=3_600_000, lease_ms=60_000)
    assert producer.sending.wait(20)
    database.run(lambda connection: connection.execute(delete(outbox)))
    commit_keys(database, [8])

    stopping = threading.Thread(target=relay.stop, args=(20_000,))
    stopping.start()
    assert wait_for(lambda: relay.state.status is RelayStatus.STOPPED, 10), "it has been told to end"
    producer.release()
    stopping.join()

    assert [record.key for record in wire.log] == [b"7", b"8"]
    assert backlog(database) == 0


def test_no_thread_before_start_and_start_and_stop_may_be_repeated(database: Database) -> None:
    wire = Wire()
    relay = Relay(database, wire.producer, OutboxProperties(), "relay-1")
    relay.wake()
    assert _relay_threads() == []
    assert relay.state.status is RelayStatus.STOPPED

    for n in (1, 2):
        commit_keys(database, [7])
        relay.start()
        relay.start()
        assert [name for name in _relay_threads() if name == "streambind-relay"] == ["streambind-relay"]
        assert wire.wait_for(lambda n=n: len(wire.log) == n)  # type: ignore[misc]
        relay.stop(10_000)
        relay.stop(10_000)
        assert _relay_threads() == []


def _relay_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("streambind-relay")]
