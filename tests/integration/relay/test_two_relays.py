"""Several relays on one database: shared fairly, handed over cleanly, and without harm when a lease is stolen."""

from __future__ import annotations

import random
import threading

import pytest
from sqlalchemy import update

from streambind.outbound.outbox_status import outbox_status
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import backlog, commit_keys, committed
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire, gaps, missing, overtaken
from tests.services.process import wait_for


def test_two_relays_share_and_nothing_travels_twice(database: Database, start_relay: StartRelay) -> None:
    wire = Wire()
    commit_keys(database, range(100), rounds=10)
    first = start_relay(database, wire.producer, "relay-1", lease_ms=3000, batch_size=20)
    assert wire.wait_for(lambda: len(wire.log) > 100)

    second = start_relay(database, wire.producer, "relay-2", lease_ms=3000, batch_size=20)
    assert wait_for(lambda: len(first.state.shards) == len(second.state.shards) == SHARDS // 2, 20)
    commit_keys(database, range(100), rounds=10)

    assert wait_for(lambda: backlog(database) == 0, 20)
    assert set(first.state.shards) | set(second.state.shards) == set(range(SHARDS))
    assert len(wire.log) == 2000
    assert missing(wire.sequences(), committed(database)) == []
    assert gaps(wire.sequences()) == overtaken(wire.sequences()) == []


def test_the_one_that_stays_takes_over_at_once_when_the_other_stops(
    database: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    first = start_relay(database, wire.producer, "relay-1", lease_ms=3000)
    second = start_relay(database, wire.producer, "relay-2", lease_ms=3000)
    assert wait_for(lambda: len(first.state.shards) == len(second.state.shards) == SHARDS // 2, 20)

    first.stop(5000)
    commit_keys(database, range(50))
    second.wake()

    assert wait_for(lambda: len(second.state.shards) == SHARDS, 20)
    assert wait_for(lambda: backlog(database) == 0, 20)
    assert len(wire.log) == 50


def test_a_shard_in_flight_is_handed_over_only_when_it_is_not_any_more(
    database: Database, start_relay: StartRelay
) -> None:
    wire = Wire()
    producer = wire.producer("lectures")
    assert producer is not None
    commit_keys(database, range(200))
    producer.hold()
    first = start_relay(database, wire.producer, "relay-1", lease_ms=3000)
    assert producer.sending.wait(20)
    second_wire = Wire()
    second = start_relay(database, second_wire.producer, "relay-2", lease_ms=3000)

    assert wait_for(lambda: len(outbox_status(database).leases) == SHARDS and _surplus_marked(first), 20)
    assert second.state.shards == ()
    producer.release()

    assert wait_for(lambda: len(second.state.shards) == SHARDS // 2, 20)
    assert wait_for(lambda: backlog(database) == 0, 20)
    travelled = [record.key for record in (*wire.log, *second_wire.log)]
    assert len(travelled) == len(set(travelled)) == 200


def _surplus_marked(relay: object) -> bool:
    loop = relay._loop  # type: ignore[attr-defined]
    return len(loop.leases.retiring) == SHARDS // 2


@pytest.mark.parametrize("seed", range(3))
def test_stolen_leases_repeat_messages_and_never_leave_a_gap(
    database: Database, start_relay: StartRelay, seed: int
) -> None:
    wire, chance, over = Wire(), random.Random(seed), threading.Event()
    owners = ["relay-1", "relay-2", "relay-3"]

    def steal() -> None:
        lease = database.tables.lease
        while not over.is_set():
            shards, thief = chance.sample(range(SHARDS), 4), chance.choice(owners)
            stolen = update(lease).where(lease.c.shard.in_(shards)).values(owner=thief)
            database.run(lambda c, stolen=stolen: c.execute(stolen))  # type: ignore[misc]
            over.wait(chance.random() / 50)

    thieving = threading.Thread(target=steal)
    thieving.start()
    try:
        for owner in owners:
            start_relay(database, wire.producer, owner, lease_ms=1000, batch_size=chance.choice([3, 20, 100]))
        commit_keys(database, range(40), rounds=25)
    finally:
        over.set()
        thieving.join(20)

    assert wait_for(lambda: backlog(database) == 0, 60)
    assert missing(wire.sequences(), committed(database)) == []
    assert gaps(wire.sequences()) == []
