"""The tables that streambind keeps in a service's database, beside the service's own.

All times are the database's, in milliseconds since the epoch. Keys are bytes: a record's key as it travels.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.sql import quoted_name

from streambind.origin import MAX_SOURCE_LENGTH

SCHEMA_VERSION = 1
"""Raised with every change of the tables below; kept in `sb_schema`."""

SHARDS = 16
"""Virtual shards of the outbox: crc32(key) % 16. Fixed for the life of the tables: order is kept per shard."""

MAX_KEY_BYTES = 512
"""What the tables keep of a key."""

MAX_MESSAGE_ID_BYTES = 64
"""What the tables keep of a message's own id; a digest of longer ones."""

PREFIX = "sb_"

_Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column declared INTEGER."""

_MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names for it, of which the URL decides."""

_Key = LargeBinary(MAX_KEY_BYTES).with_variant(mysql.VARBINARY(MAX_KEY_BYTES), *_MYSQL)
_MessageId = LargeBinary(MAX_MESSAGE_ID_BYTES).with_variant(mysql.VARBINARY(MAX_MESSAGE_ID_BYTES), *_MYSQL)
_Bytes = LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL)
_Text = Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
_EventId = Uuid().with_variant(Uuid(native_uuid=False), *_MYSQL)
_EventText = Uuid(as_uuid=False).with_variant(Uuid(as_uuid=False, native_uuid=False), *_MYSQL)
"""The same, by whichever of its names MariaDB is called; `_EventText` is given and gives its text."""

_OFFSET = quoted_name("offset", quote=True)
"""A reserved word of MariaDB, but not of MySQL: statements that are printed do not know for whom."""

_OPTIONS: dict[str, Any] = {
    # Letters' case counts in the names of destinations and groups.
    f"{name}_{option}": value
    for name in _MYSQL
    for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}.items()
}


class Tables:
    """Table objects, in `schema` where one is given."""

    def __init__(self, schema: str | None = None) -> None:
        self.metadata = MetaData(schema=schema)
        self.schema_version = Table(
            f"{PREFIX}schema",
            self.metadata,
            Column("version", Integer, primary_key=True, autoincrement=False),
        )
        self.source = Table(
            f"{PREFIX}source",
            self.metadata,
            Column("source_id", String(MAX_SOURCE_LENGTH), primary_key=True),
            Column("epoch", Integer, nullable=False),
        )
        self.key = Table(
            f"{PREFIX}key",
            self.metadata,
            Column("destination", String(249), primary_key=True),
            Column("key", _Key, primary_key=True),
            Column("seq", BigInteger, nullable=False),
            Column("event_id", _EventId),
        )
        """The last number of each key, and the event that has it."""
        self.outbox = Table(
            f"{PREFIX}outbox",
            self.metadata,
            Column("id", _Id, primary_key=True),
            Column("shard", SmallInteger, nullable=False),
            Column("binding", String(255), nullable=False),
            Column("destination", String(249), nullable=False),
            Column("key", _Bytes),
            Column("seq", BigInteger),
            Column("event_id", _EventId),
            Column("payload", _Bytes),
            Column("headers", _Text, nullable=False),
            Column("partition", Integer),
            Column("created_ms", BigInteger, nullable=False),
            CheckConstraint(f"shard BETWEEN 0 AND {SHARDS - 1}", name=f"{PREFIX}outbox_shard_range"),
            Index(f"{PREFIX}outbox_shard", "shard", "id"),
            sqlite_autoincrement=True,
        )
        """Messages to send. `event_id` None: no event of this service but a dead letter, which travels as it is,
        without a number, and whose key may be longer than others. `partition` None: the key decides."""
        self.blocked = Table(
            f"{PREFIX}blocked",
            self.metadata,
            Column("destination", String(249), primary_key=True),
            Column("key", _Key, primary_key=True),
            Column("row_id", BigInteger, primary_key=True, autoincrement=False, default=0),
            Column("reason", _Text, nullable=False),
            Column("since_ms", BigInteger, nullable=False),
        )
        """Keys whose first unsent message can never be sent, with `row_id` 0; a message without a key stands by
        itself: with the `id` of its row in the outbox, and an empty `key`."""
        self.lease = Table(
            f"{PREFIX}lease",
            self.metadata,
            Column("shard", SmallInteger, primary_key=True, autoincrement=False),
            Column("owner", String(64)),
            Column("expires_ms", BigInteger, nullable=False),
        )
        self.position = Table(
            f"{PREFIX}position",
            self.metadata,
            Column("group_name", String(255), primary_key=True),
            Column("destination", String(249), primary_key=True),
            Column("partition", Integer, primary_key=True, autoincrement=False),
            Column("next_offset", BigInteger, nullable=False),
            Column("claimed_to", BigInteger),
            Column("start", String(16), nullable=False),
            Column("start_offset", BigInteger, nullable=False),
            Column("cluster_id", String(64)),
            Column("topic_id", String(64)),
            Column("is_compacted", Boolean),
            Column("skipped_ms", BigInteger),
            Column("updated_ms", BigInteger, nullable=False),
        )
        """`claimed_to`: how far the transaction goes that works on the partition; it is seen only where a handler
        has ended that transaction by itself. `start`, `start_offset`: where the group began. `cluster_id`,
        `topic_id`: the destination's identity. `is_compacted`: whether a message may be missing there because a
        later one of its key has come; None: unknown. `skipped_ms`: when somebody last moved the position past
        messages that were not handled."""
        self.guard = Table(
            f"{PREFIX}guard",
            self.metadata,
            Column("group_name", String(255), primary_key=True),
            Column("destination", String(249), primary_key=True),
            Column("source_id", String(MAX_SOURCE_LENGTH), primary_key=True),
            Column("key", _Key, primary_key=True),
            Column("epoch", Integer, nullable=False),
            Column("seq", BigInteger, nullable=False),
            Column("applied_seq", BigInteger, nullable=False, default=0),
            Column("event_id", _EventText),
            Column("updated_ms", BigInteger, nullable=False),
            # A batch rewrites rows that lie side by side: where their page has room for them, no index changes.
            # SQLAlchemy 2.0 knows no storage parameters of tables, but writes what stands here as it is.
            postgresql_using="heap WITH (fillfactor = 50)",
        )
        """`seq` is the last number that was applied or passed over, `applied_seq` the last that was applied: those
        between were passed over, and may be taken back."""
        self.parked_key = Table(
            f"{PREFIX}parked_key",
            self.metadata,
            Column("group_name", String(255), primary_key=True),
            Column("destination", String(249), primary_key=True),
            Column("key", _Key, primary_key=True),
            Column("state", String(8), nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("next_ms", BigInteger, nullable=False),
            Column("gap_ms", BigInteger),
            Column("messages", Integer, nullable=False),
            Column("error_class", String(255), nullable=False),
            Column("error_text", _Text, nullable=False),
            Column("since_ms", BigInteger, nullable=False),
            Column("updated_ms", BigInteger, nullable=False),
            Index(f"{PREFIX}parked_key_due", "group_name", "state", "next_ms"),
        )
        """Keys whose messages wait. `key` names the queue: the record's key, or what
        `inbound.parked_keys.queue_of` makes of one that is null or too long. `state`: `retry`, `gap` (the
        predecessor is missing, since `gap_ms`) or `dead` (nobody tries it again unasked). `next_ms`: when the
        worker looks at it next. `messages`: how many wait in `parked`; whoever changes that has locked this
        row first."""
        self.parked = Table(
            f"{PREFIX}parked",
            self.metadata,
            Column("id", _Id, primary_key=True),
            Column("group_name", String(255), nullable=False),
            Column("destination", String(249), nullable=False),
            Column("key", _Key, nullable=False),
            Column("partition", Integer, nullable=False),
            Column(_OFFSET, BigInteger, nullable=False),
            Column("source_id", String(MAX_SOURCE_LENGTH)),
            Column("epoch", Integer),
            Column("seq", BigInteger),
            Column("event_id", _EventText),
            Column("timestamp_ms", BigInteger),
            Column("record_key", _Bytes),
            Column("headers", _Text),
            Column("payload", _Bytes),
            Column("parked_ms", BigInteger, nullable=False),
            Index(f"{PREFIX}parked_order", "group_name", "destination", "key", "id"),
            Index(f"{PREFIX}parked_number", "group_name", "destination", "key", "source_id", "epoch", "seq", "id"),
            sqlite_autoincrement=True,
        )
        """The messages of parked keys as they came: `record_key` and `payload` untouched, `headers` as
        `stored_headers` writes them, None where they cannot be read. The next one of a queue is the one with the
        lowest id, or of the same source the one with the lowest epoch and number."""
        self.letter = Table(
            f"{PREFIX}letter",
            self.metadata,
            Column("group_name", String(255), primary_key=True),
            Column("destination", String(249), primary_key=True),
            Column("partition", Integer, primary_key=True, autoincrement=False),
            Column(_OFFSET, BigInteger, primary_key=True, autoincrement=False),
            Column("timestamp_ms", BigInteger, primary_key=True, autoincrement=False),
            Column("outcome", String(8), nullable=False),
            Column("from_destination", String(249), nullable=False),
            Column("from_partition", Integer, nullable=False),
            Column("from_offset", BigInteger, nullable=False),
            Column("actor", String(255), nullable=False),
            Column("at_ms", BigInteger, nullable=False),
            Index(f"{PREFIX}letter_from", "group_name", "from_destination", "from_partition", "from_offset"),
        )
        """Records of dead-letter destinations that somebody has dealt with, by their place and time there.
        `outcome`: `replayed` or `skipped`. `from_*`: the place of the message that failed."""
        self.audit = Table(
            f"{PREFIX}audit",
            self.metadata,
            Column("id", _Id, primary_key=True),
            Column("at_ms", BigInteger, nullable=False),
            Column("actor", String(255), nullable=False),
            Column("action", String(16), nullable=False),
            Column("group_name", String(255), nullable=False),
            Column("destination", String(249), nullable=False),
            Column("key", _Key, nullable=False),
            Column("partition", Integer),
            Column(_OFFSET, BigInteger),
            sqlite_autoincrement=True,
        )
        """What people did to parked keys (`retry`) and parked messages (`skip`, `edit`)."""
        self.inbox = Table(
            f"{PREFIX}inbox",
            self.metadata,
            Column("group_name", String(255), primary_key=True),
            Column("destination", String(249), primary_key=True),
            Column("message_id", _MessageId, primary_key=True),
            Column("seen_ms", BigInteger, nullable=False),
            Index(f"{PREFIX}inbox_seen", "group_name", "seen_ms"),
        )
        """Ids of messages that a group has seen, for `consumer.dedupe`."""
        self.snapshot = Table(
            f"{PREFIX}snapshot",
            self.metadata,
            Column("binding", String(255), primary_key=True),
            Column("snapshot_id", Uuid, nullable=False),
            Column("of_class", String(255), nullable=False),
            Column("after_key", Text),
            Column("row_condition", Text),
            Column("job_type", String(8), nullable=False),
            Column("rows_taken", BigInteger, nullable=False),
            Column("events_made", BigInteger, nullable=False),
            Column("updated_ms", BigInteger, nullable=False),
        )
        """Snapshots that have not come to their end: of which class the next rows are, and after which primary key
        (None: the first)."""
        for table in self.metadata.tables.values():
            table.dialect_kwargs.update(_OPTIONS)
