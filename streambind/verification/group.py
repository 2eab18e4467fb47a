"""What a reading service's database says of a group, a destination and a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, Select, or_, select, type_coerce

from streambind.persistence.database import Database
from streambind.verification.key_rows import rows_of, walk
from streambind.verification.numbers import Numbers
from streambind.verification.verdict import Guarded


class GroupKeys:
    """One group's keys of one destination and source. Every question is a transaction of its own, and a short
    one."""

    def __init__(self, database: Database, group: str, destination: str, source_id: str) -> None:
        self._database = database
        self._tables = database.tables
        self._group = group
        self._destination = destination
        self._source_id = source_id

    def walk(self) -> Iterator[tuple[bytes, Guarded]]:
        """All keys in their order, as they are when their turn comes."""
        for row in walk(self._database, self._guards(), self._tables.guard.c.key):
            yield row.key, Guarded(row.epoch, row.seq, row.event_id)

    def guarded(self, keys: Sequence[bytes]) -> dict[bytes, Guarded]:
        """The last events of these keys that were applied; those without one are absent."""
        rows = rows_of(self._database, self._guards(), self._tables.guard.c.key, keys)
        return {row.key: Guarded(row.epoch, row.seq, row.event_id) for row in rows}

    def parked(self, keys: Sequence[bytes], epoch: int) -> dict[bytes, tuple[Numbers, Numbers]]:
        """The numbers of these keys that the group has set aside: all of them, and those of the epoch."""
        columns = self._tables.parked.c
        query = select(columns.key, columns.epoch, columns.seq).where(
            columns.group_name == self._group,
            columns.destination == self._destination,
            columns.source_id == self._source_id,
        )
        found: dict[bytes, tuple[Numbers, Numbers]] = {}
        for row in rows_of(self._database, query, columns.key, keys):
            every, now = found.setdefault(row.key, (Numbers(), Numbers()))
            every.add(row.seq)
            if row.epoch == epoch:
                now.add(row.seq)
        return found

    def positions(self) -> Mapping[int, int]:
        """The next offset of each partition."""
        columns = self._tables.position.c
        query = select(columns.partition, columns.next_offset).where(
            columns.group_name == self._group, columns.destination == self._destination
        )
        return self._database.run(lambda c: {row.partition: row.next_offset for row in c.execute(query)})

    def is_compacted(self) -> bool:
        """Whether events that a later one of their key follows may be missing from the log."""
        columns = self._tables.position.c
        query = select(columns.partition).where(
            columns.group_name == self._group,
            columns.destination == self._destination,
            columns.is_compacted.is_(True),
        )
        return self._database.run(lambda c: c.execute(query.limit(1)).first() is not None)

    def began_within(self) -> bool:
        """Whether the group may not have seen the beginning of every key."""
        columns = self._tables.position.c
        query = select(columns.partition).where(
            columns.group_name == self._group,
            columns.destination == self._destination,
            or_(columns.start == "latest", columns.start_offset > 0, columns.skipped_ms.is_not(None)),
        )
        return self._database.run(lambda c: c.execute(query.limit(1)).first() is not None)

    def knows_others_only(self) -> bool:
        """Whether the group has had numbered events of the destination, and none of them from this source."""
        columns = self._tables.guard.c
        query = select(columns.key).where(
            columns.group_name == self._group, columns.destination == self._destination
        )
        mine, others = columns.source_id == self._source_id, columns.source_id != self._source_id

        def work(connection: Connection) -> bool:
            known, foreign = (connection.execute(query.where(each).limit(1)).first() for each in (mine, others))
            return known is None and foreign is not None

        return self._database.run(work)

    def _guards(self) -> Select[tuple[bytes, int, int, UUID | None]]:
        columns = self._tables.guard.c
        event_id = type_coerce(columns.event_id, self._tables.key.c.event_id.type)
        return select(columns.key, columns.epoch, columns.seq, event_id.label("event_id")).where(
            columns.group_name == self._group,
            columns.destination == self._destination,
            columns.source_id == self._source_id,
        )
