"""Rows as a replica should have them, in a table of their own beside it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, inspect
from sqlalchemy.schema import DropTable

from streambind.errors import CaptureError
from streambind.inbound.arrival import Arrival
from streambind.inbound.failure import MessageFailed
from streambind.inbound.replica_plan import Row
from streambind.outbound.snapshot_rows import key_text
from streambind.persistence.cut_names import cut_name
from streambind.persistence.database import Database
from streambind.replicas.comparison import Comparison
from streambind.replicas.fold import forget_fold
from streambind.replicas.messages import MessageBatch
from streambind.replicas.refused_rows import is_for_its_values
from streambind.replicas.replica import Replica
from streambind.replicas.source import SourceRow

REF = "sb_ref"
"""Of an expected row: where it comes from."""

_NAME_BYTES = 36
_ABANDONED_S = 86_400


@contextmanager
def expected_table(database: Database, replica: Replica) -> Iterator[Table]:
    """A table for the columns that the replica fills, and REF. It is nobody else's: several commands may compare
    at once. Dropped at the end; what commands that were killed a day ago have left is dropped too."""
    made = replica.plan.table
    prefix = f"sb_diff_{cut_name(made.name, _NAME_BYTES)}_"
    keys = {column.name for column in replica.plan.key}
    columns = [
        Column(column.name, column.type, primary_key=column.name in keys, autoincrement=False)
        for column in replica.plan.columns
    ]
    name = f"{prefix}{int(time.time()):08x}{uuid.uuid4().hex[:8]}"
    table = Table(name, MetaData(schema=made.schema), *columns, Column(REF, Text))

    def begin(connection: Connection) -> None:
        for each in inspect(connection).get_table_names(schema=made.schema):
            if _is_abandoned(each, prefix):
                forget_fold(connection, database, replica, each)
                connection.execute(DropTable(Table(each, MetaData(schema=made.schema)), if_exists=True))
        database.dialect.create_beside(connection, table, made)

    def end(connection: Connection) -> None:
        forget_fold(connection, database, replica, name)
        connection.execute(DropTable(table, if_exists=True))

    database.run(begin)
    try:
        yield table
    finally:
        database.run(end)


def _is_abandoned(name: str, prefix: str) -> bool:
    found = re.fullmatch(rf"{re.escape(prefix)}([0-9a-f]{{8}})[0-9a-f]{{8}}", name)
    return found is not None and int(found[1], 16) < time.time() - _ABANDONED_S


class ExpectedRows:
    """What the events of a source's rows make of them, put into `table`. `unreadable`: how many the replica cannot
    read, or its database refuses; `are_keyed`: whether the keys of all that were read are the primary keys of the
    source's rows."""

    def __init__(self, database: Database, replica: Replica, table: Table) -> None:
        self.table = table
        self.comparison = Comparison(database.dialect, replica, table)
        self.unreadable = 0
        self.are_keyed = True
        self._replica = replica
        self._reader = replica.reader()
        self._width = len(replica.plan.key)
        key = [table.c[column.name] for column in replica.plan.key]
        columns = [*(table.c[column.name] for column in replica.plan.columns), table.c[REF]]
        self._put = database.dialect.row_statements().upsert(table, key, columns)

    def read(self, rows: Iterable[SourceRow]) -> dict[str, Row]:
        """The replica's rows, as they should be, by where they come from."""
        found: dict[str, Row] = {}
        for each in rows:
            arrival = Arrival(MessageBatch([each.message]), 0, None, limits=self._replica.limits)
            try:
                if not self._reader.concerns(arrival):
                    continue
                key, row = self._reader.read(arrival)
            except MessageFailed:
                self.unreadable += 1
                continue
            if row is not None:
                found[each.ref] = (*row, each.ref)
                self.are_keyed = self.are_keyed and _is_of(each.ref, key)
        return found

    def clear(self, connection: Connection) -> None:
        connection.execute(delete(self.table))

    def put(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Add rows. Those that the database refuses count as unreadable."""
        by_key = {row[: self._width]: row for row in rows}
        if by_key and not self._is_put(connection, [*by_key.values()]):
            self.unreadable += sum(not self._is_put(connection, [row]) for row in by_key.values())

    def _is_put(self, connection: Connection, rows: Sequence[Row]) -> bool:
        try:
            with connection.begin_nested():
                self._put(connection, rows)
        except Exception as error:
            if not is_for_its_values(error):
                raise
            return False
        return True


def _is_of(ref: str, key: Row) -> bool:
    try:
        return ref.partition(":")[2] == key_text(key)
    except CaptureError:
        return False
