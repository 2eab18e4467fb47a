"""A replica held against the rows of its source, over both databases.

The source's rows, as their events would tell of them, are put into a table beside the replica and compared there.
Services go on meanwhile: what differs is looked at again, and counts only if the source has given a key no event
since that the group has not applied; else it is on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select

from streambind.errors import CaptureError
from streambind.inbound.replica_plan import Row
from streambind.outbound.keys import primary_key_bytes
from streambind.persistence.database import Database
from streambind.replicas.comparison import Difference, Key
from streambind.replicas.expected_rows import REF, ExpectedRows, expected_table
from streambind.replicas.replica import Replica
from streambind.replicas.source import CHUNK, Source
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys

_LOOKS = 10
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class SourceDifference:
    """`difference`: what differs for good; `refs`: the rows of the source to be sent again, `extra`: the keys that
    it does not have. `moving`: how many rows are on their way; `unreadable`: rows whose events the replica cannot
    read. `are_keyed`: whether the rows' keys are known to be the primary keys of the source's rows."""

    difference: Difference
    refs: tuple[str, ...]
    extra: tuple[Key, ...]
    moving: int
    unreadable: int
    are_keyed: bool = False


class SourceDiff:
    """Compares; it makes a table in the replica's database, and drops it."""

    def __init__(self, database: Database, replica: Replica, source: Source) -> None:
        self._database = database
        self._replica = replica
        self._source = source

    def run(self, *, limit: int, progress: Callable[[int], None]) -> SourceDifference:
        """
        Raises:
            SQLAlchemyError: a database is away.
            CaptureError, EncodeError: a row of the source cannot become an event.
        """
        with expected_table(self._database, self._replica) as table:
            expected = ExpectedRows(self._database, self._replica, table)
            return _Comparing(self._database, self._replica, self._source, expected).run(limit, progress)


class _Comparing:
    """One comparison, with its table."""

    def __init__(self, database: Database, replica: Replica, source: Source, expected: ExpectedRows) -> None:
        self._database = database
        self._replica = replica
        self._source = source
        self._expected = expected
        self._given = SourceKeys(source.database, source.destination)
        self._guarded = GroupKeys(database, replica.group, source.destination, self._given.identity().source_id)

    def run(self, limit: int, progress: Callable[[int], None]) -> SourceDifference:
        comparison = self._expected.comparison
        first = self._look(progress, limit)
        found = SourceDifference(first, (), (), 0, self._expected.unreadable)
        if first.is_none:
            return found
        refs = self._refs(comparison.missing(), comparison.wrong())
        extra = self._keys(comparison.extra())
        before = self._numbers(extra)
        if extra:
            # Rows that have come while the first look went on are seen now.
            second = self._look(progress, limit)
            extra &= self._keys(comparison.extra())
            are_keyed = self._expected.are_keyed and bool(second.expected)
            found = replace(found, unreadable=self._expected.unreadable, are_keyed=are_keyed)
        return self._settled(found, refs, extra, self._on_their_way(extra, before), limit)

    def _look(self, progress: Callable[[int], None], limit: int) -> Difference:
        self._database.run(self._expected.clear)
        self._expected.unreadable = 0
        done = 0
        for chunk in self._source.walk():
            self._stage(self._expected.read(chunk).values())
            done += len(chunk)
            progress(done)
        return self._database.run(lambda connection: self._expected.comparison.difference(connection, limit=limit))

    def _settled(
        self, seen: SourceDifference, refs: Mapping[str, Key], extra: set[Key], leaving: set[Key], limit: int
    ) -> SourceDifference:
        """What of the first looks is so for good: of the `extra` rows those that are not `leaving`."""
        missing, wrong, moving = [], [], 0
        names = list(refs)
        for start in range(0, len(names), CHUNK):
            lasting, on_their_way = self._lasting(names[start : start + CHUNK])
            missing += [ref for ref, kind in lasting.items() if kind == "missing"]
            wrong += [ref for ref, kind in lasting.items() if kind == "wrong"]
            moving += on_their_way
        unwanted = sorted(extra - leaving, key=str)
        found = {
            "missing": [refs[ref] for ref in missing],
            "extra": unwanted,
            "wrong": [refs[ref] for ref in wrong],
        }
        difference = replace(
            seen.difference,
            **{kind: len(keys) for kind, keys in found.items()},
            examples={kind: keys[:limit] for kind, keys in found.items() if keys},
        )
        moving += len(leaving)
        return replace(seen, difference=difference, refs=(*missing, *wrong), extra=tuple(unwanted), moving=moving)

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
        expected = self._expected.read(self._source.rows(list(before)))
        self._database.run(self._expected.clear)
        self._stage(expected.values())
        comparison = self._expected.comparison
        missing, wrong = self._refs(comparison.missing()), self._refs(comparison.wrong())
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

    def _numbers(self, keys: Iterable[Key]) -> dict[Key, set[int]]:
        """The last number that the source has given a row's key, and the last that the group has applied; as far
        as the keys' bytes are known, which they are where they are the primary key's."""
        named: dict[bytes, Key] = {}
        for key in keys:
            with suppress(CaptureError):
                if (name := primary_key_bytes(key)) is not None:
                    named[name] = key
        given, guarded = self._given.given([*named]), self._guarded.guarded([*named])
        applied = {name: guarded[name].seq if name in guarded else 0 for name in named}
        return {
            key: {applied[name], given[name].seq if name in given else applied[name]}
            for name, key in named.items()
        }

    def _on_their_way(self, keys: Iterable[Key], before: Mapping[Key, set[int]]) -> set[Key]:
        """The rows whose keys had events, before they were looked at or since, that the group had not applied yet.
        They may be gone by now, or be as they should."""
        return {key for key, numbers in self._numbers(keys).items() if len(numbers | before[key]) > 1}

    def _stage(self, rows: Collection[Row]) -> None:
        self._database.run(lambda connection: self._expected.put(connection, rows))

    def _refs(self, *queries: Select[Any]) -> dict[str, Key]:
        """The rows of the source that these queries of expected keys mean, and their keys."""

        def work(connection: Connection) -> dict[str, Key]:
            rows = [
                row
                for query in queries
                for row in connection.execute(query.add_columns(self._expected.table.c[REF])).all()
            ]
            return {row[-1]: tuple(row[:-1]) for row in rows}

        return self._database.run(work)

    def _keys(self, query: Select[Any]) -> set[Key]:
        return self._database.run(lambda connection: {tuple(row) for row in connection.execute(query)})
