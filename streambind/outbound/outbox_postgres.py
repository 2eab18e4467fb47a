"""The outbox's rows and their numbers in one PostgreSQL statement: one round trip, and one text for any number of
messages, which driver and server prepare once.

Parameters are bytes, numbers and text; arrays are the text of array literals, whatever the driver. Payloads are no
array: as text they would be twice as long, and be read three times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from sqlalchemy import Connection

from streambind.outbound.keys import shard_of
from streambind.outbound.outbox_row import header_text, places, values_of
from streambind.outbound.outgoing import Headers, Outgoing
from streambind.persistence.database import Database
from streambind.persistence.driver_text import DriverText
from streambind.persistence.postgres_arrays import byte_strings, numbers, texts

# With synchronous_commit=off a commit is visible before it is durable: the relay would send an event that a crash
# undoes. Reading the time switches it on for this transaction, whoever switched it off and when, at no round trip
# of its own; in a CASE, which alone promises the order of evaluation.
_NOW_MS = """
(SELECT CASE current_setting('synchronous_commit')
    WHEN 'off' THEN CASE set_config('synchronous_commit', 'on', true) WHEN 'on' THEN {now_ms} END
    ELSE {now_ms}
END)
"""

_COUNT = """
    ON CONFLICT (destination, key) DO UPDATE SET seq = counter.seq + excluded.seq, event_id = excluded.event_id
    RETURNING counter.destination, counter.key, counter.seq
"""

_COLUMNS = "shard, binding, destination, key, seq, event_id, payload, headers, partition, created_ms"

# Without arrays, which cost more than the rows where there is only one. From a join with the number, not VALUES
# with a subquery: that would draw the row's id first and then wait for the key's counter, so that ids of a key
# would not grow with its numbers.
_ONE = """
WITH numbered AS (
    INSERT INTO {key} AS counter (destination, key, seq, event_id)
    SELECT CAST(:destination AS text), CAST(:key AS bytea), 1, CAST(CAST(:event_id AS text) AS uuid)
    WHERE CAST(:key AS bytea) IS NOT NULL AND CAST(:event_id AS text) IS NOT NULL
    {count}
)
INSERT INTO {outbox} ({columns})
SELECT CAST(:shard AS smallint), CAST(:binding AS text), CAST(:destination AS text), CAST(:key AS bytea),
    numbered.seq, CAST(CAST(:event_id AS text) AS uuid), CAST(:payload AS bytea),
    CAST(:headers AS text), CAST(:partition AS integer), {now_ms}
FROM (VALUES (1)) AS message LEFT JOIN numbered ON true
"""

# Counters are taken in the order in which Python sorts their keys.
_MANY = """
WITH message AS MATERIALIZED (
    SELECT (SELECT CAST(CAST(:binding AS text) AS text[]))[kind] AS binding,
        (SELECT CAST(CAST(:destination AS text) AS text[]))[kind] AS destination,
        (SELECT CAST(CAST(:headers AS text) AS text[]))[kind] AS headers,
        shard, key, event_id, substring(CAST(:payloads AS bytea) FROM begin FOR size) AS payload,
        partition, later, count, place
    FROM unnest(
        CAST(CAST(:kind AS text) AS integer[]), CAST(CAST(:shard AS text) AS smallint[]),
        CAST(CAST(:key AS text) AS bytea[]), CAST(CAST(:event_id AS text) AS uuid[]),
        CAST(CAST(:begin AS text) AS integer[]), CAST(CAST(:size AS text) AS integer[]),
        CAST(CAST(:partition AS text) AS integer[]),
        CAST(CAST(:later AS text) AS integer[]), CAST(CAST(:count AS text) AS integer[])
    ) WITH ORDINALITY AS given (kind, shard, key, event_id, begin, size, partition, later, count, place)
), numbered AS (
    INSERT INTO {key} AS counter (destination, key, seq, event_id)
    SELECT destination, key, count, event_id FROM message
    WHERE count IS NOT NULL
    ORDER BY destination COLLATE "C", key
    {count}
)
INSERT INTO {outbox} ({columns})
SELECT message.shard, message.binding, message.destination, message.key, numbered.seq - message.later,
    message.event_id, message.payload, message.headers, message.partition, {now_ms}
FROM message
LEFT JOIN numbered ON numbered.destination = message.destination AND numbered.key = message.key
ORDER BY message.place
"""


class PostgresOutbox:
    """Writes messages to the outbox of a database. Thread-safe: it holds no state but its statements."""

    def __init__(self, database: Database) -> None:
        self._one = _statement(_ONE, database)
        self._many = _statement(_MANY, database)

    def write(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        """Number the messages by key and insert them, in order."""
        if len(messages) == 1:
            self._one.execute(connection, [values_of(messages[0])])
        else:
            self._many.execute(connection, [_arrays(messages)])


def _statement(form: str, database: Database) -> DriverText:
    dialect = database.engine.dialect
    preparer = dialect.identifier_preparer
    return DriverText(
        form.format(
            key=preparer.format_table(database.tables.key),
            outbox=preparer.format_table(database.tables.outbox),
            columns=_COLUMNS,
            count=_COUNT,
            now_ms=_NOW_MS.format(now_ms=database.dialect.now_ms),
        ),
        dialect,
    )


def _arrays(messages: Sequence[Outgoing]) -> dict[str, str | bytes]:
    """`kind` leads to what messages of one class and job have in common; `payloads` are one behind the other, each
    from `begin` on; `later` and `count` are their `places`."""
    bindings, destinations, keys, payloads, headers, ids, partitions = zip(*messages, strict=True)
    kinds: dict[tuple[str, str, Headers, bool], int] = {}
    of_kind: list[Outgoing] = []
    kind: list[int] = []
    for message, common in zip(
        messages, zip(bindings, destinations, headers, [each is None for each in ids], strict=True), strict=True
    ):
        found = kinds.setdefault(common, len(kinds) + 1)
        if found > len(of_kind):
            of_kind.append(message)
        kind.append(found)
    sizes = [None if payload is None else len(payload) for payload in payloads]
    later, count = places(messages)
    return {
        "binding": texts([message.binding for message in of_kind]),
        "destination": texts([message.destination for message in of_kind]),
        "headers": texts([header_text(message) for message in of_kind]),
        "kind": numbers(kind),
        "shard": numbers([shard_of(key) for key in keys]),
        "key": byte_strings(keys),
        "event_id": texts(ids),
        "payloads": b"".join([payload or b"" for payload in payloads]),
        "begin": numbers([*accumulate([size or 0 for size in sizes], initial=1)][:-1]),
        "size": numbers(sizes),
        "partition": numbers(partitions),
        "later": numbers(later),
        "count": numbers(count),
    }
