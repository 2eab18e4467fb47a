"""The outbox's rows and their numbers in one PostgreSQL statement: one round trip, and one text for any number of
messages, which driver and server prepare once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    TextClause,
    Uuid,
    bindparam,
    text,
)

from streambind.persistence.database import Database

# With synchronous_commit=off a commit is visible before it is durable: the relay would send an event that a crash
# undoes. Reading the time switches it on for this transaction, whoever switched it off and when, at no round trip
# of its own; in a CASE, which alone promises the order of evaluation.
_STATEMENT = """
WITH numbered AS (
    INSERT INTO {key} AS counter (destination, key, seq, event_id)
    SELECT * FROM unnest(:counted_destination, :counted_key, :count, :counted_event)
    ON CONFLICT (destination, key) DO UPDATE SET seq = counter.seq + excluded.seq, event_id = excluded.event_id
    RETURNING destination, key, seq
)
INSERT INTO {outbox} (shard, binding, destination, key, seq, event_id, payload, headers, partition, created_ms)
SELECT message.shard, message.binding, message.destination, message.key,
    CASE WHEN message.event_id IS NOT NULL THEN numbered.seq - message.later END,
    message.event_id, message.payload, message.headers, message.partition,
    CASE current_setting('synchronous_commit')
        WHEN 'off' THEN CASE set_config('synchronous_commit', 'on', true) WHEN 'on' THEN {now_ms} END
        ELSE {now_ms}
    END
FROM unnest(:shard, :binding, :destination, :key, :later, :event_id, :payload, :headers, :partition)
    WITH ORDINALITY
    AS message (shard, binding, destination, key, later, event_id, payload, headers, partition, place)
LEFT JOIN numbered ON numbered.destination = message.destination AND numbered.key = message.key
ORDER BY message.place
"""

_TYPES: dict[str, Any] = {
    "counted_destination": Text,
    "counted_key": LargeBinary,
    "count": BigInteger,
    "counted_event": Uuid,
    "shard": SmallInteger,
    "binding": Text,
    "destination": Text,
    "key": LargeBinary,
    "later": BigInteger,
    "event_id": Uuid,
    "payload": LargeBinary,
    "headers": Text,
    "partition": Integer,
}


def writing_statement(database: Database) -> TextClause:
    """Counts the keys of `counted_*` (sorted, each once) and inserts the messages, in order. Parameters are
    arrays; `later` says how many messages of the same key come later among these."""
    preparer = database.engine.dialect.identifier_preparer
    statement = _STATEMENT.format(
        key=preparer.format_table(database.tables.key),
        outbox=preparer.format_table(database.tables.outbox),
        now_ms=database.dialect.now_ms,
    )
    return text(statement).bindparams(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _TYPES.items()))
