"""Messages of others that may come twice: what has been seen before is passed over, by an id that they carry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete

from streambind.errors import PermanentError
from streambind.expression import Expression, compile_expression
from streambind.failpoints import failpoint
from streambind.inbound.arrival import Arrival
from streambind.inbound.failure import MessageFailed
from streambind.inbound.limits import Limits
from streambind.message import Batch
from streambind.persistence.database import Database
from streambind.persistence.key_chunks import key_chunks
from streambind.persistence.tables import MAX_MESSAGE_ID_BYTES


class Inbox:
    """The ids that a group has seen, in the database of its effects. `text` is the expression that reads a
    message's id, such as `headers['id']` or `payload.id`; a message without one is never passed over.

    An id is kept in the transaction of the message's effects, for `retention_ms` after: one that comes again later
    is handled again.

    Raises:
        ConfigurationError: the text is not such an expression; the error names the column.
    """

    def __init__(self, database: Database, group: str, text: str, *, retention_ms: int, limits: Limits) -> None:
        self._database = database
        self._table = database.tables.inbox
        self._group = group
        self._id_of: Expression = compile_expression(text)
        self._retention_ms = retention_ms
        self._limits = limits
        columns = self._table.c
        self._forgotten = delete(self._table).where(
            columns.group_name == group,
            columns.destination == bindparam("of_destination"),
            database.dialect.one_of(columns.message_id, "keys"),
        )

    def first_times(self, connection: Connection, batch: Batch, indexes: Sequence[int]) -> Sequence[int]:
        """Those of the messages that are not seen before; from now on they are. Whoever sees the same id at the
        same time waits for this transaction.

        Raises:
            MessageFailed: a message's id cannot be read.
        """
        ids = {index: self._id(batch, index) for index in indexes}
        firsts: dict[bytes, int] = {}
        for index, message_id in ids.items():
            if message_id is not None:
                firsts.setdefault(message_id, index)
        if not firsts:
            return indexes
        now_ms = self._database.dialect.now_ms
        rows = [
            {"group_name": self._group, "destination": batch.destination, "message_id": each, "seen_ms": now_ms}
            for each in sorted(firsts)  # In one order, so that two owners cannot deadlock.
        ]
        inserted = self._database.dialect.insert_missing(connection, self._table, rows)
        failpoint("inbox.after_insert")
        new = {firsts[row["message_id"]] for row in inserted}
        return [index for index, message_id in ids.items() if message_id is None or index in new]

    def forget(self, connection: Connection, batch: Batch, indexes: Iterable[int]) -> None:
        """Undo that these messages, which were not seen before this transaction, are seen."""
        ids = [message_id for index in indexes if (message_id := self._id(batch, index)) is not None]
        for some in key_chunks(sorted(ids)):
            connection.execute(self._forgotten, {"of_destination": batch.destination, "keys": some})

    def purge(self) -> int:
        """Forget ids that are older than the retention; returns how many."""
        columns = self._table.c
        limit_ms = self._database.dialect.now_ms - self._retention_ms
        old = delete(self._table).where(columns.group_name == self._group, columns.seen_ms < limit_ms)
        return self._database.run(lambda connection: connection.execute(old).rowcount)

    def _id(self, batch: Batch, index: int) -> bytes | None:
        try:
            encoded = _encoded(self._id_of(Arrival(batch, index, None, limits=self._limits)))
        except Exception as error:
            raise MessageFailed(index, error) from error
        if encoded is None or len(encoded) <= MAX_MESSAGE_ID_BYTES:
            return encoded
        return hashlib.sha256(encoded).digest()


def _encoded(found: object) -> bytes | None:
    match found:
        case None | bytes():
            return found
        case str() | int():
            # JSON may escape half a character: as good an id as any.
            return str(found).encode(errors="surrogatepass")
    raise PermanentError(
        f"its id is a {type(found).__name__}: consumer.dedupe should name text, bytes or a number"
    )
