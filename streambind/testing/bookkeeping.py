"""What a database remembers of a broker, forgotten when a test's broker takes its place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, delete, insert, inspect, select, update

from streambind.persistence.database import Database
from streambind.persistence.tables import Tables

_AT_ONCE = 500


@dataclass
class Leftovers:
    """Events that earlier tests of the session left unsent, by database."""

    events: dict[str, set[UUID]] = field(default_factory=dict)


def has_tables(connection: Connection, tables: Tables) -> bool:
    """Whether streambind's tables are there."""
    return inspect(connection).has_table(tables.outbox.name, schema=tables.outbox.schema)


def forget(connection: Connection, database: Database, leftovers: Leftovers) -> None:
    """Positions, guard rows, parked and blocked keys speak of a broker that the test does not use, and go. So do
    events that an earlier test left. Events that the test itself has written already stay, and are numbered
    from 1 as the first ones of their keys."""
    tables = database.tables
    if not has_tables(connection, tables):
        return
    for table in (tables.position, tables.guard, tables.parked_key, tables.parked, tables.blocked, tables.key):
        connection.execute(delete(table))
    events = sorted(leftovers.events.pop(_name(database), ()))
    for start in range(0, len(events), _AT_ONCE):
        some = events[start : start + _AT_ONCE]
        connection.execute(delete(tables.outbox).where(tables.outbox.c.event_id.in_(some)))
    _number_anew(connection, tables)


def _number_anew(connection: Connection, tables: Tables) -> None:
    columns = tables.outbox.c
    numbers: Counter[tuple[str, bytes]] = Counter()
    query = select(columns.id, columns.destination, columns.key).where(columns.key.is_not(None))
    for row in connection.execute(query.order_by(columns.id)).all():
        numbers[row.destination, row.key] += 1
        number = numbers[row.destination, row.key]
        connection.execute(update(tables.outbox).where(columns.id == row.id).values(seq=number))
    for (destination, key), last in numbers.items():
        connection.execute(insert(tables.key).values(destination=destination, key=key, seq=last))


def remember(connection: Connection, database: Database, leftovers: Leftovers) -> None:
    """Note what is unsent when an application has stopped."""
    tables = database.tables
    if has_tables(connection, tables):
        leftovers.events[_name(database)] = set(connection.scalars(select(tables.outbox.c.event_id)))


def _name(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=True)
