"""The position of each partition, kept in the database that the effects go to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BindParameter, Connection, Update, and_, bindparam, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from streambind.binding.binder import Identity, Lane
from streambind.errors import UnfinishedBatchError
from streambind.persistence.database import Database
from streambind.persistence.dialect import Row

_log = logging.getLogger(__name__)


class Past(NamedTuple):
    """What a group may not have seen of a partition.

    `began_within`: the beginning, because the group began at the latest position, or at an offset above 0
    (retention had cut the log, or the broker's own offsets were adopted). `skipped_ms`: what its position was
    moved past, at that time on the database's clock; None if it never was. `is_compacted`: any message that a
    later one of its key follows.
    """

    began_within: bool = False
    skipped_ms: int | None = None
    is_compacted: bool = False


class Stretch(NamedTuple):
    """Of a partition, from the position `start` to the position `end`."""

    lane: Lane
    start: int
    end: int


class DatabasePositions:
    """The positions of one group: `binding.binder.Positions`, and the moves that delivery makes.

    A position moves by compare-and-set only, in the transaction of the effects that it stands for: of two
    owners of a partition that start from the same place, one succeeds. It is claimed first, which keeps others
    away, and moved last: a handler that ends the transaction in between leaves a claim for everybody to see.
    """

    def __init__(self, database: Database, group: str) -> None:
        self._database = database
        self._table = database.tables.position
        self._group = group
        columns = self._table.c
        target: BindParameter[int] = bindparam("to_offset")
        here = update(self._table).where(
            columns.group_name == group,
            columns.destination == bindparam("of_destination"),
            columns.partition == bindparam("of_partition"),
            columns.next_offset == bindparam("from_offset"),
        )
        self._claim = here.where(columns.claimed_to.is_(None)).values(claimed_to=target)
        self._move = here.where(columns.claimed_to == target).values(
            next_offset=target, claimed_to=None, updated_ms=database.dialect.now_ms
        )

    def read(self, lanes: Sequence[Lane]) -> Mapping[Lane, int]:
        return self._database.run(lambda connection: self._read(connection, lanes))

    def adopt(
        self, starts: Mapping[Lane, tuple[int, str]], identities: Mapping[str, Identity]
    ) -> Mapping[Lane, int]:
        def work(connection: Connection) -> tuple[Sequence[Row], Mapping[Lane, int]]:
            rows = [
                {
                    "group_name": self._group,
                    "destination": lane.destination,
                    "partition": lane.partition,
                    "next_offset": offset,
                    "start": start,
                    "start_offset": offset,
                    "cluster_id": _identity(lane, identities).cluster,
                    "topic_id": _identity(lane, identities).destination,
                    "is_compacted": _identity(lane, identities).is_compacted,
                    "updated_ms": self._database.dialect.now_ms,
                }
                for lane, (offset, start) in sorted(starts.items(), key=lambda item: _lane_order(item[0]))
            ]
            inserted = self._database.dialect.insert_missing(connection, self._table, rows)
            return inserted, self._read(connection, list(starts))

        if not starts:
            return {}
        inserted, stored = self._database.run(work)
        self._tell([row for row in inserted if row["start"] == "committed" and row["next_offset"] > 0])
        return stored

    def _tell(self, adopted: Sequence[Row]) -> None:
        """A read model that begins in the middle must not go unnoticed: its database may be a new one."""
        for row in adopted:
            _log.warning(
                "%s[%s]: the database has no position of group %s, so it goes on at %s, which the group has "
                "reported to the broker: earlier messages will not be read. If what they brought is not in the "
                "database, rebuild it: `streambind positions reset %s BINDING --to earliest`",
                *(row["destination"], row["partition"], self._group, row["next_offset"]),
                self._database.command_target,
            )

    def identify(self, lanes: Sequence[Lane], identities: Mapping[str, Identity]) -> Mapping[Lane, Identity]:
        def work(connection: Connection) -> Mapping[Lane, Identity]:
            known = self._identities(connection, lanes)
            unknown = [lane for lane in sorted(known, key=_lane_order) if not known[lane].is_known]
            told = [lane for lane in unknown if _identity(lane, identities).is_known]
            for lane in told:
                self._note(connection, lane, identities[lane.destination])
            self._note_compaction(connection, known, identities)
            return self._identities(connection, lanes) if told else known

        return self._database.run(work) if lanes else {}

    def claim(self, connection: Connection, *stretches: Stretch) -> bool:
        """Take the positions, which are at the starts, to move them to the ends in this transaction; False if not
        all of them could be taken: it must not be committed then. Until it ends nobody else can take them. They
        are taken in one order, that of all who take several: two of them cannot deadlock.

        Raises:
            UnfinishedBatchError: a handler has ended a transaction that had taken the position, and kept its
                claim. Of several it is not told which of them could not be taken, nor why.
        """
        in_order = sorted(stretches, key=lambda stretch: _lane_order(stretch.lane))
        if self._each(connection, self._claim, in_order):
            return True
        if len(stretches) > 1:
            return False
        lane, start, _ = stretches[0]
        claimed = self.claimed_to(connection, lane)
        if claimed is not None and self.stored(connection, lane) == start:
            raise UnfinishedBatchError(
                f"a handler has ended the transaction of messages {start} to {claimed - 1} by itself: effects "
                "of some of them are kept, and nobody knows of which"
            )
        return False

    def move(self, connection: Connection, *stretches: Stretch) -> bool:
        """Move what this transaction has claimed; False if a claim is gone: this is not the transaction any more
        that made it."""
        return self._each(connection, self._move, stretches)

    def _each(self, connection: Connection, statement: Update, stretches: Sequence[Stretch]) -> bool:
        """Whether the statement has found each of them."""
        if len(stretches) == 1 or not self._database.engine.dialect.supports_sane_multi_rowcount:
            return all(connection.execute(statement, _way(*each)).rowcount == 1 for each in stretches)
        return connection.execute(statement, [_way(*each) for each in stretches]).rowcount == len(stretches)

    def shorten(self, connection: Connection, claimed: Stretch, end: int) -> bool:
        """Let what this transaction has claimed end at `end` already; False as with `move`."""
        mine = update(self._table).where(self._is(claimed.lane), self._table.c.claimed_to == claimed.end)
        return connection.execute(mine.values(claimed_to=end)).rowcount == 1

    def claimed_to(self, connection: Connection, lane: Lane) -> int | None:
        """How far a transaction goes that has claimed the position; None if it is free."""
        return connection.execute(select(self._table.c.claimed_to).where(self._is(lane))).scalar()

    def stored(self, connection: Connection, lane: Lane) -> int | None:
        """The position, None if there is none."""
        return connection.execute(select(self._table.c.next_offset).where(self._is(lane))).scalar()

    def past(self, connection: Connection, lane: Lane) -> Past:
        """What the group may not have seen of this partition."""
        columns = self._table.c
        query = select(columns.start, columns.start_offset, columns.skipped_ms, columns.is_compacted).where(
            self._is(lane)
        )
        row = connection.execute(query).first()
        if row is None:
            return Past()
        skipped = row.skipped_ms is not None
        return Past(
            row.start == "latest" or row.start_offset > 0 or skipped, row.skipped_ms, bool(row.is_compacted)
        )

    def _read(self, connection: Connection, lanes: Sequence[Lane]) -> dict[Lane, int]:
        if not lanes:
            return {}
        columns = self._table.c
        rows = connection.execute(
            select(columns.destination, columns.partition, columns.next_offset).where(
                columns.group_name == self._group, or_(*(self._is(lane) for lane in lanes))
            )
        )
        return {Lane(row.destination, row.partition): row.next_offset for row in rows}

    def _identities(self, connection: Connection, lanes: Sequence[Lane]) -> dict[Lane, Identity]:
        columns = self._table.c
        rows = connection.execute(
            select(
                columns.destination,
                columns.partition,
                columns.cluster_id,
                columns.topic_id,
                columns.is_compacted,
            ).where(columns.group_name == self._group, or_(*(self._is(lane) for lane in lanes)))
        )
        return {
            Lane(row.destination, row.partition): Identity(row.cluster_id, row.topic_id, row.is_compacted)
            for row in rows
        }

    def _note(self, connection: Connection, lane: Lane, identity: Identity) -> None:
        connection.execute(
            update(self._table)
            .where(self._is(lane), self._table.c.topic_id.is_(None))
            .values(cluster_id=identity.cluster, topic_id=identity.destination)
        )

    def _note_compaction(
        self, connection: Connection, known: Mapping[Lane, Identity], identities: Mapping[str, Identity]
    ) -> None:
        for lane in sorted(known, key=_lane_order):
            now = _identity(lane, identities).is_compacted
            if now is not None and now != known[lane].is_compacted:
                connection.execute(update(self._table).where(self._is(lane)).values(is_compacted=now))

    def _is(self, lane: Lane) -> ColumnElement[bool]:
        columns = self._table.c
        return and_(
            columns.group_name == self._group,
            columns.destination == lane.destination,
            columns.partition == lane.partition,
        )


def _way(lane: Lane, start: int, end: int) -> dict[str, object]:
    return {
        "of_destination": lane.destination,
        "of_partition": lane.partition,
        "from_offset": start,
        "to_offset": end,
    }


def _lane_order(lane: Lane) -> tuple[str, int]:
    return lane.destination, lane.partition


def _identity(lane: Lane, identities: Mapping[str, Identity]) -> Identity:
    return identities.get(lane.destination, Identity())
