"""A replica held against the rows of its source, over both databases.

The source's rows, as their events would tell of them, are put into a table beside the replica and compared there.
Services go on meanwhile: what differs is looked at again, and counts only if the source has given a key no event
since that the group has not applied; else it is on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, delete
from sqlalchemy.schema import CreateTable, DropTable

from streambind.errors import CaptureError
from streambind.inbound.arrival import Arrival
from streambind.inbound.failure import MessageFailed
from streambind.inbound.replica_plan import Row
from streambind.outbound.keys import primary_key_bytes
from streambind.persistence.database import Database
from streambind.persistence.row_statements import row_statements
from streambind.replicas.comparison import Comparison, Difference, Key
from streambind.replicas.messages import MessageBatch
from streambind.replicas.replica import REF, Replica
from streambind.replicas.source import CHUNK, Source, SourceRow
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys

_LOOKS = 10
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class SourceDifference:
    """`difference`: what differs for good; `refs`: the rows of the source to be sent again, `extra`: the keys that
    it does not have. `moving`: how many rows are on their way; `unreadable`: rows whose events the replica cannot
    read."""

    difference: Difference
    refs: tuple[str, ...]
    extra: tuple[Key, ...]
    moving: int
    unreadable: int


class SourceDiff:
    """One comparison; it makes a table in the replica's database, and drops it."""

    def __init__(self, database: Database, replica: Replica, source: Source) -> None:
        self._database = database
        self._replica = replica
        self._source = source
        self._reader = replica.reader()
        self._stage = replica.stage()
        stage = self._stage
        key = [stage.c[column.name] for column in replica.plan.key]
        columns = [*(stage.c[column.name] for column in replica.plan.columns), stage.c[REF]]
        self._put = row_statements(database.dialect).upsert(stage, key, columns)
        self._comparison = Comparison(replica, stage)
        self._given = SourceKeys(source.database, source.destination)
        self._guarded = GroupKeys(database, replica.group, source.destination, self._given.identity().source_id)
        self._unreadable = 0

    def run(self, *, limit: int, progress: Callable[[int], None]) -> SourceDifference:
        """
        Raises:
            SQLAlchemyError: a database is away.
            CaptureError, EncodeError: a row of the source cannot become an event.
        """
        try:
            first = self._look(progress, limit)
            if first.is_none:
                return SourceDifference(first, (), (), 0, self._unreadable)
            refs = self._refs(self._comparison.missing(), self._comparison.wrong())
            extra = self._keys(self._comparison.extra())
            if extra:
                # Rows that have come while the first look went on are seen now.
                self._look(progress, limit)
                extra &= self._keys(self._comparison.extra())
            return self._settled(first, refs, sorted(extra, key=str), limit)
        finally:
            self._database.run(lambda connection: connection.execute(DropTable(self._stage, if_exists=True)))

    def _look(self, progress: Callable[[int], None], limit: int) -> Difference:
        self._database.run(lambda connection: connection.execute(DropTable(self._stage, if_exists=True)))
        self._database.run(lambda connection: connection.execute(CreateTable(self._stage)))
        done = 0
        for chunk in self._source.walk():
            self._stage_rows(self._expected(chunk).values())
            done += len(chunk)
            progress(done)
        return self._database.run(lambda connection: self._comparison.difference(connection, limit=limit))

    def _settled(
        self, first: Difference, refs: Mapping[str, Key], extra: Sequence[Key], limit: int
    ) -> SourceDifference:
        """What of the first look is so for good."""
        missing, wrong, moving = [], [], 0
        names = list(refs)
        for start in range(0, len(names), CHUNK):
            lasting, on_their_way = self._lasting(names[start : start + CHUNK])
            missing += [ref for ref, kind in lasting.items() if kind == "missing"]
            wrong += [ref for ref, kind in lasting.items() if kind == "wrong"]
            moving += on_their_way
        unwanted = [key for key in extra if not self._is_moving(key)]
        found = {
            "missing": [refs[ref] for ref in missing],
            "extra": unwanted,
            "wrong": [refs[ref] for ref in wrong],
        }
        difference = replace(
            first,
            **{kind: len(keys) for kind, keys in found.items()},
            examples={kind: keys[:limit] for kind, keys in found.items() if keys},
        )
        moving += len(extra) - len(unwanted)
        return SourceDifference(difference, (*missing, *wrong), tuple(unwanted), moving, self._unreadable)

    def _lasting(self, refs: Sequence[str]) -> tuple[dict[str, str], int]:
        """Which of these rows differ while all their events are applied, and how many are on their way."""
        lasting: dict[str, str] = {}
        left = list(refs)
        for look in range(_LOOKS):
            if look:
                time.sleep(_PAUSE_S)
            left = self._look_at(left, lasting)
            if not left:
                break
        return lasting, len(left)

    def _look_at(self, refs: Sequence[str], lasting: dict[str, str]) -> list[str]:
        """Add what differs for good to `lasting`; returns the rows that cannot be judged now."""
        before = {row.ref: row.message.key or b"" for row in self._source.rows(refs)}
        given = self._given.given(list(before.values()))
        guarded = self._guarded.guarded(list(before.values()))
        rows = self._source.rows(list(before))
        expected = self._expected(rows)
        self._database.run(lambda connection: connection.execute(delete(self._stage)))
        self._stage_rows(expected.values())
        missing, wrong = self._refs(self._comparison.missing()), self._refs(self._comparison.wrong())
        given_after = self._given.given(list(before.values()))
        guarded_after = self._guarded.guarded(list(before.values()))
        left = []
        for ref in expected:
            if ref not in missing and ref not in wrong:
                continue
            key = before[ref]
            numbers = {
                0 if each is None else each.seq
                for each in (given.get(key), given_after.get(key), guarded.get(key), guarded_after.get(key))
            }
            if self._replica.trusts and key and len(numbers) > 1:
                left.append(ref)
            else:
                lasting[ref] = "missing" if ref in missing else "wrong"
        return left

    def _is_moving(self, key: Key) -> bool:
        """Whether the source has given the row's key an event that the group has not applied; as far as the key's
        bytes are known, which they are where they are the primary key's."""
        try:
            name = primary_key_bytes(key)
        except CaptureError:
            return False
        given = self._given.given([name]).get(name) if name is not None else None
        guarded = self._guarded.guarded([name]).get(name) if name is not None else None
        return given is not None and given.seq != (0 if guarded is None else guarded.seq)

    def _expected(self, rows: Iterable[SourceRow]) -> dict[str, Row]:
        """The replica's rows, as they should be, by where they come from."""
        found: dict[str, Row] = {}
        for each in rows:
            arrival = Arrival(MessageBatch([each.message]), 0, None, limits=self._replica.limits)
            try:
                if not self._reader.concerns(arrival):
                    continue
                _, row = self._reader.read(arrival)
            except MessageFailed:
                self._unreadable += 1
                continue
            if row is not None:
                found[each.ref] = (*row, each.ref)
        return found

    def _stage_rows(self, rows: Iterable[Row]) -> None:
        count = len(self._replica.plan.key)
        by_key = {row[:count]: row for row in rows}
        if by_key:
            self._database.run(lambda connection: self._put(connection, list(by_key.values())))

    def _refs(self, *queries: Select[Any]) -> dict[str, Key]:
        """The rows of the source that these queries of expected keys mean, and their keys."""

        def work(connection: Connection) -> dict[str, Key]:
            rows = [
                row for query in queries for row in connection.execute(query.add_columns(self._stage.c[REF])).all()
            ]
            return {row[-1]: tuple(row[:-1]) for row in rows}

        return self._database.run(work)

    def _keys(self, query: Select[Any]) -> set[Key]:
        return self._database.run(lambda connection: {tuple(row) for row in connection.execute(query)})
