"""Records that another client wrote, and that the Python client cannot read as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.binders.kafka import KafkaBinder
from streambind.event_loop import EventLoop
from streambind.message import Message
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.testing.eventually import eventually
from tests.integration.inbound.service import Base, Letters, Service, event
from tests.integration.kafka.bench import WITHIN_S, bound, create_topic, input_target
from tests.integration.kafka.foreign import ForeignProducer
from tests.unit.inbound.batches import record


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    loop = EventLoop()
    database = Database.from_url(f"sqlite:///{tmp_path / 'service.db'}", loop=loop)
    create_tables(database)
    database.run(lambda connection: Base.metadata.create_all(connection))
    yield Service(database)
    database.dispose()
    loop.close()


@pytest.fixture
def foreign(kafka: str, topic: str) -> str:
    """A topic of three records, the second with a header's name that is not UTF-8."""
    create_topic(kafka, topic)
    producer = ForeignProducer(kafka)
    for number, name in ((1, None), (2, b"\xff\xfe"), (3, b"plain")):
        payload = record(event("k", number)).payload
        assert payload is not None
        producer.send(topic, payload, b"k", name)
    producer.close()
    return topic


def test_a_headers_name_that_is_no_utf8_costs_one_message(
    binder: KafkaBinder, foreign: str, service: Service
) -> None:
    letters = Letters()
    plan = service.keeping(letters=letters, adopt=None)
    with bound(binder, input_target(foreign, "g", positions=plan.positions), plan.deliver):
        eventually(lambda: len(service.effects()) == 2, WITHIN_S, lambda: str(plan.statistics.figures()))
    assert service.effects() == [("k", 1), ("k", 3)]
    (letter,) = letters.sent
    assert b'"number": 2' in (letter.payload or b"")
    assert ("x-original-topic", foreign.encode()) in letter.raw_headers
    assert b"not UTF-8" in (dict(letter.raw_headers)["x-exception-message"] or b"")


def test_such_a_message_is_read_without_headers(binder: KafkaBinder, foreign: str) -> None:
    messages: list[Message] = list(binder.read(foreign, {0: 0}, 10_000))
    assert [list(m.raw_headers) for m in messages] == [[], [], [("plain", b"v")]]
