"""The view of docs/debezium.md, on the table as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from streambind.event_loop import EventLoop
from streambind.outbound.event_ids import new_event_id
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.relay.commits import commit

DOCUMENT = Path(__file__).parents[3] / "docs" / "debezium.md"


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Database]:
    database = Database.from_url(postgres_url, loop=EventLoop())
    create_tables(database)
    yield database
    database.dispose()


def test_the_view_has_debeziums_columns(postgresql: Database) -> None:
    [view] = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    headers = (("contentType", b"application/json"), ("odd", b"\xff"), ("type", b"Changed"))
    first = Outgoing("out-a", "a", "최종".encode(), b'{"n": 1}', headers, new_event_id())
    second = Outgoing("out-a", "a", None, None, (), new_event_id())
    commit(postgresql, [first, second])

    def work(connection: Connection) -> list[tuple[object, ...]]:
        connection.execute(text(view))
        columns = "id, aggregatetype, aggregateid, type, payload, seq"
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM outbox ORDER BY position"))]

    assert postgresql.run(work) == [
        (UUID(first.event_id), "a", "최종", "Changed", b'{"n": 1}', 1),
        (UUID(second.event_id), "a", None, None, None, None),
    ]


def test_the_settings_name_columns_that_exist(postgresql: Database) -> None:
    named = re.findall(
        r"^transforms\.outbox\.(?:table\.field|route\.by)\S*=(\w+)$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert len(named) == 4
    assert set(named) <= set(postgresql.tables.outbox.c.keys())
