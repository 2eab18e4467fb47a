"""Records that no listener can read stand between good ones: they are set aside with a reason, and nothing else
is."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from sqlalchemy import create_engine, select

from streambind.persistence.tables import Tables
from tests.faults.world import World

CHANGES = 40
WITHIN_S = 60.0
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")

POISON: list[tuple[bytes | None, bytes | None]] = [
    (b"bytes", bytes(range(256))),
    (b"truncated", b'{"eventType":"ItemChanged","itemId":1,"vers'),
    (b"another type", b'{"eventType":"ItemChanged","itemId":"one","version":[]}'),
    (b"deep", b"[" * 10_000 + b"]" * 10_000),
    (b"a list", b"[1, 2, 3]"),
    (b"empty", b""),
    (b"no value", None),
    (None, b"no key and no JSON"),
    (None, None),
    (b"\xff\xfe", b"null"),
]


@ON_REAL_SERVERS
def test_what_cannot_be_read_is_set_aside_and_the_rest_flows(fresh: World) -> None:
    fresh.create_topic(partitions=2)
    assert fresh.source(CHANGES).wait_for_end(WITHIN_S) == 0
    _poison(fresh)
    assert fresh.source(2 * CHANGES).wait_for_end(WITHIN_S) == 0
    effects = fresh.effects(MASS_FAILURE_KEYS="1000")  # It is poison, not an outage.
    fresh.wait_until_drained(effects, parked=2 * len(POISON))
    assert fresh.records() == 2 * CHANGES + 2 * len(POISON)
    effects.stop()
    assert fresh.broken_promises() == []
    assert all(_reasons(fresh)), _reasons(fresh)


def _poison(fresh: World) -> None:
    """Into every partition, without any header."""
    producer = Producer({"bootstrap.servers": fresh.stage.brokers})
    for partition in (0, 1):
        for key, value in POISON:
            producer.produce(fresh.topic, value, key, partition=partition)
    assert producer.flush(WITHIN_S) == 0


def _reasons(fresh: World) -> list[str]:
    parked = Tables().parked_key.c
    engine = create_engine(fresh.effects_url)
    with engine.connect() as connection:
        found = list(connection.scalars(select(parked.error_class)))
    engine.dispose()
    return found
