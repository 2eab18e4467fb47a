"""Parked keys as the worker sees them: which one is due, what its next message is, and what became of that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from streambind.errors import UnfinishedBatchError
from streambind.failpoints import failpoint
from streambind.inbound.parked_keys import ParkedState
from streambind.inbound.reasons import reason_of
from streambind.persistence.database import Database

_SOURCES_LOOKED_AT = 100

Queue = tuple[str, bytes]
"""A parked key: its destination, and the name of its queue."""


class ParkedKey(NamedTuple):
    """A row of `sb_parked_key`, locked; times on the database's clock."""

    destination: str
    key: bytes
    attempts: int
    gap_ms: int | None
    messages: int
    error_class: str
    error_text: str
    since_ms: int
    now_ms: int

    @property
    def queue(self) -> Queue:
        return self.destination, self.key

    @property
    def attempts_before(self) -> int:
        """Without the try that has begun."""
        return max(self.attempts - 1, 0)


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A row of `sb_parked`."""

    id: int
    destination: str
    partition: int
    offset: int
    record_key: bytes | None
    payload: bytes | None
    headers: str | None
    timestamp_ms: int


class ParkedQueues:
    """The parked keys of a group's destinations. All methods but `claim` ask for a key that is locked in the
    transaction."""

    def __init__(self, database: Database, group: str, destinations: Sequence[str]) -> None:
        tables, self._dialect = database.tables, database.dialect
        self._key, self._message = tables.parked_key, tables.parked
        self._group = group
        columns = self._key.c
        self._living = and_(
            columns.group_name == group,
            columns.state.in_([ParkedState.RETRY, ParkedState.GAP]),
            columns.destination.in_(destinations),
        )
        self._columns = (
            columns.destination,
            columns.key,
            columns.attempts,
            columns.gap_ms,
            columns.messages,
            columns.error_class,
            columns.error_text,
            columns.since_ms,
            database.dialect.now_ms.label("now_ms"),
        )

    def claim(self, connection: Connection) -> ParkedKey | None:
        """Lock the key that has been due for the longest time, and that nobody else holds."""
        due = self._living, self._key.c.next_ms <= self._dialect.now_ms
        query = select(*self._columns).where(*due).order_by(self._key.c.next_ms)
        row = self._dialect.first_free(connection, query, self._key)
        return None if row is None else ParkedKey(*row)

    def begin(self, connection: Connection, parked: ParkedKey, *, delay_ms: int) -> None:
        """A try begins. Should nothing be heard of it again, because the process ends in it, then it has failed,
        and the key is looked at again after this time."""
        self._update(connection, parked, attempts=parked.attempts + 1, next_ms=self._dialect.now_ms + delay_ms)

    def mark(self, connection: Connection, parked: ParkedKey) -> None:
        """Let the key be dead unless this transaction says otherwise: a handler that ends it by itself leaves that
        behind, instead of effects that are made again with every try."""
        error = UnfinishedBatchError(
            "its handler has ended the transaction by itself, with session.connection().commit() or the like: its "
            "effects are kept, and nobody knows which; session.commit() is what a handler may call"
        )
        self._update(connection, parked, **self._outcome(ParkedState.DEAD, error, None))

    def claim_again(self, connection: Connection, queue: Queue, *, alive: bool = False) -> ParkedKey | None:
        """Lock a key that was let go; None if it is parked no longer, or dead although it should be `alive`."""
        columns = self._key.c
        query = select(*self._columns).where(self._is(queue))
        if alive:
            query = query.where(columns.state != ParkedState.DEAD)
        row = connection.execute(self._dialect.locked(query)).first()
        return None if row is None else ParkedKey(*row)

    def wake(self, connection: Connection, queue: Queue, **reason: str) -> None:
        """Have a key that is locked tried as if it had never failed. `reason`: its `error_class` and `error_text`,
        if they are to change."""
        columns = self._key.c
        values = {columns.state: ParkedState.RETRY, columns.attempts: 0, columns.gap_ms: None}
        due = {columns.next_ms: self._dialect.now_ms, columns.updated_ms: self._dialect.now_ms}
        connection.execute(update(self._key).where(self._is(queue)).values(values | due).values(**reason))

    def due_in_ms(self, connection: Connection) -> int | None:
        """When the next key is due: negative if it is already, and others hold it; None if none will be."""
        query = select(func.min(self._key.c.next_ms), self._dialect.now_ms).where(self._living)
        next_ms, now_ms = connection.execute(query).one()
        return None if next_ms is None else int(next_ms - now_ms)

    def first(
        self, connection: Connection, parked: ParkedKey, *, among: Collection[int] | None = None
    ) -> ParkedMessage | None:
        """The next message of a queue, or of those of its messages: the one that came first; but of its source's,
        the one with the lowest number, for what came first may have overtaken it in another partition."""
        waiting = self._in(parked)
        if among is not None:
            waiting = waiting.where(self._message.c.id.in_(among))
        found = connection.execute(waiting.order_by(self._message.c.id).limit(1)).first()
        if found is not None and found.source_id is not None:
            found = connection.execute(self._of_source(waiting, found.source_id)).first()
        return None if found is None else self._read(parked, found)

    def order(self, connection: Connection, parked: ParkedKey, *, among: Collection[int]) -> list[int]:
        """The ids of these messages of a queue, as far as they are there, in the order in which each is the
        `first` among those that are left. Of messages nothing else is read."""
        c = self._message.c
        query = select(c.id, c.source_id, c.epoch, c.seq).where(*self._belongs(parked)).order_by(c.id)
        rows = [row for row in connection.execute(query) if row.id in among]
        by_number: dict[str, list[int]] = {row.source_id: [] for row in rows if row.source_id is not None}
        for row in sorted(
            (row for row in rows if row.source_id is not None), key=lambda r: (r.epoch, r.seq, r.id)
        ):
            by_number[row.source_id].append(row.id)
        ordered: dict[int, None] = {}
        places = {source_id: iter(ids) for source_id, ids in by_number.items()}
        for row in rows:
            while row.id not in ordered:
                ordered[row.id if row.source_id is None else next(places[row.source_id])] = None
        return [*ordered]

    def firsts(self, connection: Connection, parked: ParkedKey, head: ParkedMessage) -> Iterator[ParkedMessage]:
        """The `head`, a queue's next message, then those of the other sources in it: each source has an order of
        its own, and anyone may have made one up."""
        yield head
        columns = self._message.c
        others = (
            select(columns.source_id)
            .where(*self._belongs(parked), columns.source_id.is_not(None))
            .group_by(columns.source_id)
            .order_by(func.min(columns.id))
            .limit(_SOURCES_LOOKED_AT)
        )
        for (source_id,) in connection.execute(others).all():
            found = connection.execute(self._of_source(self._in(parked), source_id)).first()
            if found is not None and found.id != head.id:
                yield self._read(parked, found)

    def _of_source(self, waiting: Select[Any], source_id: str) -> Select[Any]:
        columns = self._message.c
        of_source = waiting.where(columns.source_id == source_id)
        return of_source.order_by(columns.epoch, columns.seq, columns.id).limit(1)

    def _read(self, parked: ParkedKey, found: Row[Any]) -> ParkedMessage:
        return ParkedMessage(
            id=found.id,
            destination=parked.destination,
            partition=found.partition,
            offset=found.offset,
            record_key=found.record_key,
            payload=found.payload,
            headers=found.headers,
            timestamp_ms=found.timestamp_ms,
        )

    def done(
        self, connection: Connection, parked: ParkedKey, message: ParkedMessage, *, behind_gap: bool = False
    ) -> bool:
        """Take the message out; the key too if it was the last one. The next one is due at once. `behind_gap`: the
        one that waits for its predecessor still does. False, if the message was there no longer: the transaction
        must not commit."""
        if not self._delete(connection, message):
            return False
        failpoint("parking.after_delete")
        if parked.messages <= 1 and self.forget(connection, parked):
            return True
        columns, now_ms = self._key.c, self._dialect.now_ms
        self._update(
            connection,
            parked,
            messages=columns.messages - 1,
            state=ParkedState.GAP if behind_gap else ParkedState.RETRY,
            attempts=0,
            gap_ms=parked.gap_ms if behind_gap else None,
            next_ms=now_ms,
            error_class=parked.error_class,
            error_text=parked.error_text,
        )
        return True

    def take_out(self, connection: Connection, parked: ParkedKey, message: ParkedMessage) -> bool:
        """Take out one that is not the next one: how the key fares does not change. False, if it was there no
        longer."""
        if not self._delete(connection, message):
            return False
        self._update(connection, parked, messages=self._key.c.messages - 1)
        return True

    def _delete(self, connection: Connection, message: ParkedMessage) -> bool:
        return connection.execute(delete(self._message).where(self._message.c.id == message.id)).rowcount == 1

    def forget(self, connection: Connection, parked: ParkedKey) -> bool:
        """Let the key be parked no longer, if nothing waits behind it; whether that is so."""
        waits = exists().where(*self._belongs(parked))
        return connection.execute(delete(self._key).where(self._is(parked.queue), ~waits)).rowcount == 1

    def failed(
        self, connection: Connection, parked: ParkedKey, error: Exception, *, delay_ms: int | None, counts: bool
    ) -> None:
        """The try that has begun failed; None: it was the last one. `counts`: whether it uses up a try."""
        self._update(
            connection,
            parked,
            **self._outcome(ParkedState.RETRY, error, delay_ms),
            attempts=parked.attempts if counts else parked.attempts_before,
            gap_ms=None,
        )

    def postpone(self, connection: Connection, parked: ParkedKey, *, delay_ms: int) -> None:
        """Something was in the way that is not the message's fault: no try is counted."""
        now_ms = self._dialect.now_ms
        self._update(connection, parked, attempts=parked.attempts_before, next_ms=now_ms + delay_ms)

    def missing(
        self, connection: Connection, parked: ParkedKey, error: Exception, *, since_ms: int, delay_ms: int | None
    ) -> None:
        """The message's predecessor is not there yet; None: it is waited for no longer."""
        outcome = self._outcome(ParkedState.GAP, error, delay_ms)
        self._update(connection, parked, **outcome, attempts=parked.attempts_before, gap_ms=since_ms)

    def _outcome(self, state: ParkedState, error: Exception, delay_ms: int | None) -> dict[str, Any]:
        error_class, error_text = reason_of(error)
        return {
            "state": ParkedState.DEAD if delay_ms is None else state,
            "next_ms": self._dialect.now_ms + (delay_ms or 0),
            "error_class": error_class,
            "error_text": error_text,
        }

    def _update(self, connection: Connection, parked: ParkedKey, **values: Any) -> None:
        values["updated_ms"] = self._dialect.now_ms
        connection.execute(update(self._key).where(self._is(parked.queue)).values(**values))

    def _in(self, parked: ParkedKey) -> Select[Any]:
        return select(self._message).where(*self._belongs(parked))

    def _belongs(self, parked: ParkedKey) -> tuple[ColumnElement[bool], ...]:
        columns = self._message.c
        return (
            columns.group_name == self._group,
            columns.destination == parked.destination,
            columns.key == parked.key,
        )

    def _is(self, queue: Queue) -> ColumnElement[bool]:
        columns = self._key.c
        destination, key = queue
        return and_(columns.group_name == self._group, columns.destination == destination, columns.key == key)
