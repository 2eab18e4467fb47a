"""The positions of all groups as the database holds them, and moving one by hand: for commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, select, update

from streambind.binding.binder import Identity, Lane
from streambind.persistence.database import Database


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """Where a group stands in a partition. `start_offset`: where it began; `age_ms`: since it last moved."""

    offset: int
    identity: Identity
    start_offset: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Where a position is to go on: `word` is what was asked for, `identity` that of the destination as it is.
    `skips`: messages between the old place and the new one, or those of the destination that was replaced, will
    never be handled: from then on a missing number is no gap."""

    offset: int
    word: str
    identity: Identity
    skips: bool


def stored_positions(database: Database) -> Mapping[tuple[str, Lane], StoredPosition]:
    """By group and partition.

    Raises:
        SQLAlchemyError: the database is away, or the tables are missing.
    """

    def work(connection: Connection) -> dict[tuple[str, Lane], StoredPosition]:
        now_ms = int(connection.scalar(select(database.dialect.now_ms)) or 0)
        return {
            (row.group_name, Lane(row.destination, row.partition)): StoredPosition(
                row.next_offset,
                Identity(row.cluster_id, row.topic_id),
                row.start_offset,
                max(0, now_ms - row.updated_ms),
            )
            for row in connection.execute(select(database.tables.position))
        }

    return database.run(work)


def reset_position(database: Database, group: str, lane: Lane, *, seen: StoredPosition | None, to: Reset) -> bool:
    """Move a position by compare-and-set; False, with nothing changed, if it is no longer where it was seen. An
    instance that works on the partition finds its next transaction refused, and goes on where the position is.

    Raises:
        SQLAlchemyError: nothing has changed.
    """
    table = database.tables.position
    now_ms = database.dialect.now_ms
    values: dict[str, Any] = {
        "next_offset": to.offset,
        "claimed_to": None,
        "cluster_id": to.identity.cluster,
        "topic_id": to.identity.destination,
        "updated_ms": now_ms,
    }
    if seen is None:
        first = {"group_name": group, "destination": lane.destination, "partition": lane.partition}
        start = "latest" if to.word == "latest" else "reset"
        row = {**first, **values, "start": start, "start_offset": to.offset}
        return database.run(lambda c: len(database.dialect.insert_missing(c, table, [row])) == 1)
    if to.skips:
        values["skipped_ms"] = now_ms
    if to.offset < seen.start_offset:
        values |= {"start": "reset", "start_offset": to.offset}
    columns = table.c
    same = and_(
        columns.group_name == group,
        columns.destination == lane.destination,
        columns.partition == lane.partition,
        columns.next_offset == seen.offset,
        columns.topic_id.is_not_distinct_from(seen.identity.destination),
    )
    return database.run(lambda c: c.execute(update(table).where(same).values(values)).rowcount == 1)
