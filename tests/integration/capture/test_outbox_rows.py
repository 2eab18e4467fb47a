"""Whatever a message is made of, its row has it as it is, and its number; alone and among others."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from streambind.outbound.event_ids import new_event_id
from streambind.outbound.keys import shard_of
from streambind.outbound.outbox import Outbox
from streambind.outbound.outgoing import Outgoing
from streambind.persistence.stored_headers import load_headers
from tests.integration.capture.conftest import Service

TEXT = st.one_of(
    st.sampled_from(
        ["", "NULL", "null", '"', "\\", '\\"', "{}", "{a,b}", ",", "'", ":name", "%(a)s", "$1", "최종"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
NAME = TEXT.filter(lambda text: len(text.encode()) < 200)
BYTES = st.one_of(st.sampled_from([b"", b"NULL", b"\0", b"\\x00", b'"', b"\xff"]), st.binary(max_size=40))
MESSAGE = st.builds(
    Outgoing,
    binding=NAME,
    destination=st.one_of(st.sampled_from(["a", "b"]), NAME),
    key=st.one_of(st.none(), st.sampled_from([b"1", b"2"]), BYTES),
    payload=st.one_of(st.none(), BYTES),
    headers=st.lists(st.tuples(TEXT, st.one_of(st.none(), BYTES)), max_size=3).map(tuple),
    event_id=st.one_of(st.none(), st.builds(new_event_id)),
    partition=st.one_of(st.none(), st.integers(0, 2**31 - 1)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(MESSAGE, min_size=1, max_size=6), min_size=1, max_size=3))
def test_a_row_has_what_its_message_has(service: Service, batches: list[list[Outgoing]]) -> None:
    database, outbox = service.database, Outbox(service.database)

    def work(connection: Connection) -> tuple[list[tuple[object, ...]], dict[tuple[str, bytes], tuple[int, UUID]]]:
        for table in (database.tables.outbox, database.tables.key):
            connection.execute(delete(table))
        for messages in batches:
            outbox.write(connection, messages)
        o, k = database.tables.outbox.c, database.tables.key.c
        columns = (o.shard, o.binding, o.destination, o.key, o.payload, o.headers, o.event_id, o.partition, o.seq)
        rows = [tuple(row) for row in connection.execute(select(*columns).order_by(o.id))]
        counters = connection.execute(select(k.destination, k.key, k.seq, k.event_id))
        return rows, {(row.destination, row.key): (row.seq, row.event_id) for row in counters}

    rows, counters = database.run(work)
    numbers: Counter[tuple[str, bytes]] = Counter()
    last: dict[tuple[str, bytes], tuple[int, UUID]] = {}
    expected: list[tuple[object, ...]] = []
    for message in (each for messages in batches for each in messages):
        number = None
        if message.key is not None and message.event_id is not None:
            counter = (message.destination, message.key)
            numbers[counter] += 1
            number = numbers[counter]
            last[counter] = (number, UUID(message.event_id))
        expected.append(
            (
                *(shard_of(message.key), message.binding, message.destination, message.key, message.payload),
                *(message.headers, message.event_id and UUID(message.event_id), message.partition, number),
            )
        )
    found = [(*row[:5], tuple(load_headers(str(row[5]))), *row[6:]) for row in rows]
    assert found == expected
    assert counters == last
