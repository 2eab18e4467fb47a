"""Whether all is sent and handled, and what the topics hold, seen from outside."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from sqlalchemy import insert

from streambind.binders.kafka import EmbeddedBroker
from streambind.message import EVENT_ID, ORIGIN
from streambind.testing.chaos.drain import Drain
from streambind.testing.chaos.observed import ObservedDatabase


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as made:
        made.create_topic("items", 1)
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ObservedDatabase]:
    """A group that has handled three records."""
    observed = ObservedDatabase(f"sqlite:///{tmp_path / 'service.db'}")
    observed.tables.metadata.create_all(observed.engine)
    row = {"group_name": "g", "destination": "items", "partition": 0, "next_offset": 3, "start": "earliest"}
    with observed.engine.begin() as connection:
        connection.execute(insert(observed.tables.position).values(**row, start_offset=0, updated_ms=0))
    yield observed
    observed.close()


@pytest.fixture
def drain(broker: EmbeddedBroker, database: ObservedDatabase) -> Iterator[Drain]:
    made = Drain([database], broker.address)
    yield made
    made.close()


def _send(broker: EmbeddedBroker, *numbers: int) -> None:
    producer = Producer({"bootstrap.servers": broker.address})
    for number in numbers:
        headers: list[tuple[str, str | bytes | None]] = [(ORIGIN, f"1/source/1/items/{number}".encode())]
        headers.append((EVENT_ID, str(number).encode()))
        producer.produce("items", b"{}", b"key", headers=headers)
    assert producer.flush(20) == 0


def test_records_events_and_duplicates_are_told_apart(broker: EmbeddedBroker, drain: Drain) -> None:
    _send(broker, 1, 2, 1, 2, 3)
    wire = drain.wire()
    assert (wire.records, wire.events, wire.duplicates) == (5, 3, 2)
    assert wire.gaps == []


def test_a_number_that_comes_before_the_one_before_it_is_a_gap(broker: EmbeddedBroker, drain: Drain) -> None:
    _send(broker, 1, 3, 2)
    assert drain.wire().gaps == ["items[0]@1: number 3 of key b'key' came after number 1"]


def test_it_is_drained_when_the_group_stands_at_the_end(broker: EmbeddedBroker, drain: Drain) -> None:
    _send(broker, 1, 2, 3)
    assert drain.wait(20, lambda: None) is None


def test_it_says_what_is_not_handled_yet(broker: EmbeddedBroker, drain: Drain) -> None:
    _send(broker, 1, 2, 3, 4)
    lag = drain.wait(0, lambda: None)
    assert lag == "group g: 1 records or more of items are not handled yet"


def test_it_says_what_waits_in_the_outbox(
    broker: EmbeddedBroker, database: ObservedDatabase, drain: Drain
) -> None:
    _send(broker, 1, 2, 3)
    row = {"shard": 0, "binding": "out", "destination": "items", "headers": "[]", "created_ms": 0}
    with database.engine.begin() as connection:
        connection.execute(insert(database.tables.outbox).values(**row, event_id=uuid.uuid4()))
    lag = drain.wait(0, lambda: None)
    assert lag is not None
    assert "1 messages wait" in lag
