"""One transaction of the relay on the outbox: what became of rows goes in, the next ones come out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from streambind.outbound.relay_outcome import Blocked
from streambind.outbound.relay_rows import OutboxRows
from streambind.outbound.wire_message import OutboxRow, Source


class Exchanged(NamedTuple):
    """What came of it. `is_dispossessed`: of the delivered rows not all were there, or ours, any more, and nothing
    was read. `source`: where the events of `rows` come from."""

    is_dispossessed: bool = False
    newly_blocked: Sequence[Blocked] = ()
    rows: Sequence[OutboxRow] = ()
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is to be done: if it `settles`, delete what was delivered and mark what is blocked; then read the rows
    of `shards`, if there are any, as `OutboxRows.read` does."""

    settles: bool
    delivered: Sequence[OutboxRow]
    blocked: Sequence[Blocked]
    shards: frozenset[int]
    excluded: Collection[str]
    under_way: Collection[int]
    above: int
    source: Source | None

    def carry_out(self, rows: OutboxRows, connection: Connection) -> Exchanged:
        """Do it, in the caller's transaction."""
        newly_blocked: Sequence[Blocked] = ()
        rows.begin(connection)
        if self.settles:
            deleted, newly_blocked = rows.settle(connection, self.delivered, self.blocked)
            if deleted < len(self.delivered):
                return Exchanged(is_dispossessed=True, newly_blocked=newly_blocked)
        if not self.shards or self.source is None:
            return Exchanged(newly_blocked=newly_blocked)
        source, found = self.source, self._read(rows, connection, self.source)
        if not found and (source := rows.source(connection)) != self.source:
            found = self._read(rows, connection, source)
        return Exchanged(newly_blocked=newly_blocked, rows=found, source=source)

    def _read(self, rows: OutboxRows, connection: Connection, source: Source) -> list[OutboxRow]:
        return rows.read(
            connection, self.shards, self.excluded, source, under_way=self.under_way, above=self.above
        )
