"""Parked keys: a message that cannot be handled waits in the database, and later ones of its key behind it.

Whoever puts a message into a queue, or takes one out, has locked the row of its key first: a queue that is found
empty under that lock is empty, and its row can go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from streambind.configuration.properties import ParkingProperties
from streambind.errors import ParkingLimitError, PermanentError, SequenceGapError
from streambind.failpoints import failpoint
from streambind.inbound.failure import MessageFailed
from streambind.inbound.numbers import event_of
from streambind.inbound.reasons import reason_of
from streambind.joint_batch import part_of
from streambind.message import Batch
from streambind.persistence.database import Database
from streambind.persistence.key_chunks import key_chunks
from streambind.persistence.stored_headers import store_headers
from streambind.persistence.tables import MAX_KEY_BYTES


class ParkedState(StrEnum):
    """`gap`: the predecessor is missing; `dead`: tried for the last time, until somebody asks for more."""

    RETRY = "retry"
    GAP = "gap"
    DEAD = "dead"


class Waiting(NamedTuple):
    """Messages of a batch whose key is parked, and its row as it was when it was locked."""

    key: bytes
    indexes: list[int]
    messages: int
    gap_ms: int | None

    def before(self, end: int) -> Waiting:
        """The same of the messages before `end`."""
        return self._replace(indexes=[index for index in self.indexes if index < end])


def queue_of(batch: Batch, index: int) -> bytes:
    """The queue that a message waits in: that of its key. What has no key has no order, and waits alone; of a key
    that is longer than the tables keep, the digest stands for it."""
    key = batch.key(index)
    if key is None:
        return hashlib.sha256(f"{batch.partition}@{batch.offset(index)}".encode()).digest()
    return _bounded(key)


def _bounded(key: bytes) -> bytes:
    return key if len(key) <= MAX_KEY_BYTES else hashlib.sha256(key).digest()


class ParkedKeys:
    """The parked keys of one group, as deliveries see them. `numbered`: whether messages' numbers count."""

    def __init__(self, database: Database, group: str, limits: ParkingProperties, *, numbered: bool) -> None:
        tables, self._dialect = database.tables, database.dialect
        self._key, self._group, self._limits, self._numbered = tables.parked_key, group, limits, numbered
        columns, now_ms = self._key.c, database.dialect.now_ms
        self._grow = (
            update(self._key)
            .where(
                columns.group_name == group,
                columns.destination == bindparam("of_destination"),
                columns.key == bindparam("of_key"),
            )
            .values(messages=columns.messages + bindparam("more"), updated_ms=now_ms)
        )
        # What was missing may have come: the worker looks, also at a key that was given up for the gap.
        self._grow_and_wake = self._grow.values(
            messages=columns.messages + bindparam("more"),
            state=ParkedState.GAP,
            next_ms=now_ms,
            updated_ms=now_ms,
        )
        here = (columns.group_name == group, columns.destination == bindparam("of_destination"))
        self._any = select(columns.messages).where(*here).limit(1)
        self._waiting = self._dialect.locked(
            select(columns.key, columns.messages, columns.gap_ms)
            .where(*here, self._dialect.one_of(columns.key, "keys"))
            .order_by(columns.key)
        )
        self._insert = insert(tables.parked).values(group_name=group, parked_ms=now_ms)

    def waiting(self, connection: Connection, batch: Batch, indexes: Iterable[int]) -> list[Waiting]:
        """The messages whose keys are parked. The rows of these keys are locked, in their order, until the
        transaction ends: a worker that empties one of them meanwhile is waited for, and then it is not parked."""
        if connection.execute(self._any, {"of_destination": batch.destination}).first() is None:
            return []
        by_key: dict[bytes, list[int]] = {}
        for index in indexes:
            key = batch.key(index)
            if key is not None:
                by_key.setdefault(_bounded(key), []).append(index)
        found: list[Waiting] = []
        for keys in key_chunks(sorted(by_key)):
            for row in connection.execute(self._waiting, {"of_destination": batch.destination, "keys": keys}):
                found.append(Waiting(row.key, by_key[row.key], row.messages, row.gap_ms))
        return found

    def set_aside(self, connection: Connection, batch: Batch, waiting: Sequence[Waiting]) -> None:
        """Let the messages wait behind those that wait already.

        Raises:
            MessageFailed: with a ParkingLimitError, at the first message that is too many.
        """
        full = [index for each in waiting for index in each.indexes[self._room(each.messages) :]]
        if full:
            raise MessageFailed(min(full), self._too_many_messages())
        self._add(connection, batch, {each.key: each.indexes for each in waiting})
        failpoint("parking.after_set_aside")
        for statement, woken in ((self._grow, False), (self._grow_and_wake, True)):
            rows = [
                {"of_destination": batch.destination, "of_key": each.key, "more": len(each.indexes)}
                for each in waiting
                if (each.gap_ms is not None) is woken
            ]
            if rows:
                connection.execute(statement, rows)

    def park(self, connection: Connection, batch: Batch, index: int, error: Exception) -> None:
        """Park the key of a message, and the message behind what waits there by now: its partition was not the
        only one that could park the key.

        Raises:
            MessageFailed: with a ParkingLimitError.
        """
        key = queue_of(batch, index)
        # Not DO NOTHING: only the lock keeps a worker from taking the row away as that of an empty queue.
        row = self._row(connection, batch, key, error)
        (stored,) = self._dialect.add(connection, self._key, [row], "messages")
        failpoint("parking.after_key")
        if stored.messages == 1:
            self._refuse_more_keys(connection, batch, index)
        elif stored.messages > self._limits.max_messages_per_key:
            raise MessageFailed(index, self._too_many_messages())
        elif stored.gap_ms is not None:
            which = {"of_destination": batch.destination, "of_key": key, "more": 0}
            connection.execute(self._grow_and_wake, [which])
        self._add(connection, batch, {key: [index]})
        failpoint("parking.after_message")

    def _row(self, connection: Connection, batch: Batch, key: bytes, error: Exception) -> dict[str, object]:
        now_ms = connection.scalar(select(self._dialect.now_ms)) or 0
        is_gap = isinstance(error, SequenceGapError)
        error_class, error_text = reason_of(error)
        return {
            "group_name": self._group,
            "destination": batch.destination,
            "key": key,
            "state": ParkedState.GAP if is_gap else ParkedState.RETRY,
            "attempts": 0,
            # The predecessor may have been applied since: the worker looks for it at once.
            "next_ms": now_ms if is_gap else now_ms + self._limits.back_off_initial_interval_ms,
            "gap_ms": now_ms if is_gap else None,
            "messages": 1,
            "error_class": error_class,
            "error_text": error_text,
            "since_ms": now_ms,
            "updated_ms": now_ms,
        }

    def _add(self, connection: Connection, batch: Batch, queues: Mapping[bytes, Sequence[int]]) -> None:
        """Insert the messages in the order of the log, which is the order of their ids."""
        by_index = {index: key for key, indexes in queues.items() for index in indexes}
        rows = [self._message(batch, index, by_index[index]) for index in sorted(by_index)]
        connection.execute(self._insert, rows)

    def _message(self, batch: Batch, index: int, key: bytes) -> dict[str, Any]:
        chain, event, headers = None, None, None
        try:
            headers = store_headers(batch.raw_headers(index))
            if self._numbered and (found := event_of(batch, index)) is not None:
                chain, event = found
        except PermanentError:
            pass  # Headers that cannot be read cannot be kept; reading them later fails the same way.
        return {
            "destination": batch.destination,
            "key": key,
            "partition": part_of(batch, index)[0].partition,
            "offset": batch.offset(index),
            "source_id": chain.source_id if chain else None,
            "epoch": event.epoch if event else None,
            "seq": event.seq if event else None,
            "event_id": event.event_id if event else None,
            "timestamp_ms": batch.timestamp_ms(index),
            "record_key": batch.key(index),
            "headers": headers,
            "payload": batch.payload(index),
        }

    def _room(self, messages: int) -> int:
        return max(0, self._limits.max_messages_per_key - messages)

    def _refuse_more_keys(self, connection: Connection, batch: Batch, index: int) -> None:
        columns, limit = self._key.c, self._limits.max_keys
        mine = (columns.group_name == self._group, columns.destination == batch.destination)
        if (connection.scalar(select(func.count()).select_from(self._key).where(*mine)) or 0) > limit:
            text = f"{limit} keys of {batch.destination} are parked already"
            raise MessageFailed(index, ParkingLimitError(text))

    def _too_many_messages(self) -> ParkingLimitError:
        limit = self._limits.max_messages_per_key
        return ParkingLimitError(f"{limit} messages wait behind its parked key already")
