"""Dead letters among the outbox's rows: they travel as they are, to a partition of their own."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import select

from streambind.binding.outcome import Failed
from streambind.errors import SendError
from streambind.message import Message
from streambind.outbound.outbox_status import outbox_status, unblock
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database
from tests.integration.relay.commits import backlog, commit, event
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire
from tests.services.process import wait_for

HEADERS = (
    ("type", b"T"),
    ("sb-event-id", b"of the source"),
    ("sb-origin", b"1/elsewhere/1/things/4"),
    ("n", None),
)


def letter(key: bytes | None, payload: bytes = b"x", destination: str = "lectures") -> Outgoing:
    return Outgoing("in-things", destination, key, payload, HEADERS, None, 3)


def test_they_travel_as_they_are_and_have_no_number(any_engine: Database, start_relay: StartRelay) -> None:
    wire = Wire()
    # Events of the same key, in the same transaction too, keep their own numbers.
    commit(any_engine, [event(b"k"), letter(b"k", b"first"), event(b"k"), letter(None), letter(b"k", b"second")])
    start_relay(any_engine, wire.producer)

    assert wait_for(lambda: backlog(any_engine) == 0, 20)
    letters = [message for message in wire.messages if message.partition == 3]
    assert [(message.key, message.payload) for message in letters if message.key] == [
        (b"k", b"first"),
        (b"k", b"second"),
    ]
    assert all(tuple(message.raw_headers) == HEADERS for message in letters)
    assert len(letters) == 3
    numbered = [message for message in wire.messages if message.partition is None]
    assert [str(message.headers["sb-origin"]).rpartition("/")[2] for message in numbered] == ["1", "2"]


@pytest.mark.parametrize("key", [b"k", b"k" * 5_000, None])
def test_one_that_is_refused_for_good_is_named_and_waits_until_it_is_unblocked(
    database: Database, start_relay: StartRelay, caplog: pytest.LogCaptureFixture, key: bytes | None
) -> None:
    refused = Failed(SendError("too large", permanent=True), permanent=True)
    refusing = [True]

    def answer(message: Message) -> Failed | None:
        return refused if refusing[0] and message.payload == b"large" else None

    wire = Wire(answer)
    commit(database, [letter(key, b"large"), letter(b"other"), event(key and key[:512], destination="things")])
    relay = start_relay(database, wire.producer)

    with caplog.at_level(logging.ERROR, "streambind.relay"):
        assert wait_for(lambda: relay.state.blocked == 1, 20)
        assert wait_for(lambda: backlog(database) == 1, 20)
    [told] = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert "the first is a dead letter of key" in told
    assert "written for binding in-things" in told
    blocked = database.tables.blocked
    kept = database.run(lambda c: c.scalars(select(blocked.c.key)).one())
    assert kept == (key or b"")[:512]

    refusing[0] = False
    unblock(database, outbox_status(database).blocked)
    relay.wake()
    assert wait_for(lambda: backlog(database) == 0, 20)
    assert wire.messages[-1].payload == b"large"
    assert wire.messages[-1].key == key
