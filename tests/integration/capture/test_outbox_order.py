"""Who waits for a key's counter draws no id of the outbox before: ids of a key grow with its numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from streambind.event_loop import EventLoop
from streambind.outbound.outbox import Outbox
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.relay.commits import event
from tests.services.process import wait_for

WAITERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    loop = EventLoop()
    database = Database.from_url(postgres_url, loop=loop)
    create_tables(database)
    yield database
    database.dispose()
    loop.close()


@pytest.mark.parametrize("others", [0, 1])
def test_a_writer_that_waits_for_a_key_has_its_row_after_those_it_waited_for(
    database: Database, others: int
) -> None:
    outbox, table = Outbox(database), database.tables.outbox.c
    messages = [event(b"k"), *(event(b"l") for _ in range(others))]

    def write_later() -> None:
        database.run(lambda connection: outbox.write(connection, messages))

    with database.engine.begin() as first:
        outbox.write(first, [event(b"k")])
        waiting = threading.Thread(target=write_later)
        waiting.start()
        assert wait_for(lambda: database.run(lambda connection: connection.scalar(WAITERS)) == 1, 30)
        outbox.write(first, [event(b"k")])
    waiting.join(30)

    query = select(table.seq).where(table.key == b"k").order_by(table.id)
    assert database.run(lambda connection: list(connection.scalars(query))) == [1, 2, 3]
