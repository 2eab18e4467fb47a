"""Relays that are wrong on purpose: if the checker passes one of them, the checker is broken."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select

from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import SendError
from streambind.message import Message
from streambind.outbound import relay_lanes
from streambind.outbound.outbox import Outbox
from streambind.outbound.relay_outcome import RelayOutcome, decide
from streambind.outbound.relay_rows import OutboxRows
from streambind.outbound.wire_message import OutboxRow, Source, row_message
from streambind.persistence.database import Database
from tests.integration.relay.commits import backlog, commit_keys, committed, event
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import Wire, gaps, missing, overtaken
from tests.services.process import wait_for


def test_deleting_what_was_sent_behind_a_failed_one_leaves_the_old_value_last(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(
        rows: Sequence[OutboxRow], results: Sequence[Sent | Failed | Unknown], tenures: Mapping[int, int]
    ) -> RelayOutcome:
        right = decide(rows, results, tenures)
        sent = tuple(row for row, result in zip(rows, results, strict=True) if isinstance(result, Sent))
        return RelayOutcome(sent, right.blocked, right.trouble, tenures)

    monkeypatch.setattr(relay_lanes, "decide", wrong)
    failures = [Failed(SendError("not now"), permanent=False)]

    def answer(message: Message) -> Failed | None:
        return failures.pop() if message.key == b"3" and failures else None

    wire = Wire(answer)
    commit_keys(sqlite, range(5), rounds=3)
    start_relay(sqlite, wire.producer)

    assert wait_for(lambda: backlog(sqlite) == 0, 20)
    assert overtaken(wire.sequences()) != []


def test_two_readers_that_skip_each_others_locked_rows_leave_a_gap(several_writers: Database) -> None:
    """What most outboxes do: SELECT ... FOR UPDATE SKIP LOCKED, send, DELETE, in any number of processes."""
    wire = Wire()
    first = wire.producer("lectures")
    assert first is not None
    commit_keys(several_writers, range(10), rounds=4)
    outbox = several_writers.tables.outbox
    columns = [outbox.c[name] for name in OutboxRow._fields]
    batch = select(*columns).order_by(outbox.c.id).limit(10).with_for_update(skip_locked=True)
    source = Source("source", 1)

    def relay_once() -> None:
        with several_writers.engine.begin() as connection:
            rows = [OutboxRow(*row) for row in connection.execute(batch)]
            first.send([row_message(row, source) for row in rows])
            connection.execute(delete(outbox).where(outbox.c.id.in_([row.id for row in rows])))

    first.hold()
    slow = threading.Thread(target=relay_once)
    slow.start()
    assert first.sending.wait(20)
    other = Wire()
    other.log = wire.log
    second = other.producer("lectures")
    assert second is not None
    with several_writers.engine.begin() as connection:
        rows = [OutboxRow(*row) for row in connection.execute(batch)]
        second.send([row_message(row, source) for row in rows])
    first.release()
    slow.join(20)

    assert gaps(wire.sequences()) != []


def test_a_cursor_over_ids_loses_what_commits_late(
    several_writers: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, cursor = OutboxRows.read, [0]

    def after_the_cursor(self: OutboxRows, *given: Any, **options: Any) -> list[OutboxRow]:
        rows = [row for row in read(self, *given, **options) if row.id > cursor[0]]
        cursor[0] = max([cursor[0], *(row.id for row in rows)])
        return rows

    monkeypatch.setattr(OutboxRows, "read", after_the_cursor)
    wire = Wire()
    with several_writers.engine.begin() as slow:
        Outbox(several_writers).write(slow, [event(b"slow")])
        commit_keys(several_writers, range(5))
        relay = start_relay(several_writers, wire.producer)
        assert wire.wait_for(lambda: len(wire.log) == 5)
    commit_keys(several_writers, range(5))
    relay.wake()

    assert wire.wait_for(lambda: len(wire.log) == 10)
    assert missing(wire.sequences(), committed(several_writers)) != []


def test_sending_without_the_order_of_the_ids_leaves_gaps(
    sqlite: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = OutboxRows.read
    monkeypatch.setattr(OutboxRows, "read", lambda self, *given, **options: read(self, *given, **options)[::-1])
    wire = Wire()
    commit_keys(sqlite, range(5), rounds=3)
    start_relay(sqlite, wire.producer)

    assert wait_for(lambda: backlog(sqlite) == 0, 20)
    assert gaps(wire.sequences()) != []
    assert missing(wire.sequences(), committed(sqlite)) == []
