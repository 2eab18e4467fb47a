"""The positions of all groups as the database holds them, and moving one by hand: for commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, select, update
from sqlalchemy.sql.elements import ColumnElement

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
            (row.group_name, Lane(row.destination, row.partition)): _position(row, now_ms)
            for row in connection.execute(select(database.tables.position))
        }

    return database.run(work)


def same_place(one: StoredPosition | None, other: StoredPosition | None) -> bool:
    """Whether the position has not moved between two looks at it."""
    if one is None or other is None:
        return one is other
    return (one.offset, one.identity.destination) == (other.offset, other.identity.destination)


def reset_position(
    database: Database, group: str, lane: Lane, to: Callable[[StoredPosition | None], Reset | None]
) -> bool:
    """Move a position. `to` is given where it is, locked until it has moved, and says where it goes on; None
    leaves it there: then False is returned. An instance that works on the partition has ended its transaction by
    then; it finds its next one refused, and goes on where the position is.

    Raises:
        SQLAlchemyError: nothing has changed.
    """

    def work(connection: Connection) -> bool:
        found = _locked(connection, database, group, lane)
        goal = to(found)
        if goal is None:
            return False
        values = _values(database, found, goal)
        if found is not None:
            columns = database.tables.position.c
            connection.execute(update(database.tables.position).where(_is(columns, group, lane)).values(values))
            return True
        first = {"group_name": group, "destination": lane.destination, "partition": lane.partition}
        start = "latest" if goal.word == "latest" else "reset"
        row = {**first, **values, "start": start, "start_offset": goal.offset}
        return len(database.dialect.insert_missing(connection, database.tables.position, [row])) == 1

    return database.run_bounded(work)


def _locked(connection: Connection, database: Database, group: str, lane: Lane) -> StoredPosition | None:
    columns = database.tables.position.c
    query = select(database.tables.position).where(_is(columns, group, lane))
    row = connection.execute(database.dialect.locked(query)).first()
    now_ms = int(connection.scalar(select(database.dialect.now_ms)) or 0)
    return None if row is None else _position(row, now_ms)


def _values(database: Database, found: StoredPosition | None, goal: Reset) -> dict[str, Any]:
    values: dict[str, Any] = {
        "next_offset": goal.offset,
        "claimed_to": None,
        "cluster_id": goal.identity.cluster,
        "topic_id": goal.identity.destination,
        "updated_ms": database.dialect.now_ms,
    }
    if found is not None and goal.skips:
        values["skipped_ms"] = database.dialect.now_ms
    if found is not None and goal.offset < found.start_offset:
        values |= {"start": "reset", "start_offset": goal.offset}
    return values


def _position(row: Row[Any], now_ms: int) -> StoredPosition:
    return StoredPosition(
        row.next_offset,
        Identity(row.cluster_id, row.topic_id),
        row.start_offset,
        max(0, now_ms - row.updated_ms),
    )


def _is(columns: Any, group: str, lane: Lane) -> ColumnElement[bool]:
    return and_(
        columns.group_name == group,
        columns.destination == lane.destination,
        columns.partition == lane.partition,
    )
