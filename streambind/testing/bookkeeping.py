"""What a database remembers of a broker, forgotten when a test's broker takes its place."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, delete, insert, inspect, select, update

from streambind.persistence.database import Database
from streambind.persistence.tables import Tables

_AT_ONCE = 500

_log = logging.getLogger("streambind.testing")


@dataclass
class Leftovers:
    """Events that earlier tests of the session left unsent: those seen when an application stopped, by database,
    and whatever was written at a time before this test (their ids tell when), by tests that ran no application."""

    events: dict[str, set[UUID]] = field(default_factory=dict)
    earlier_ns: range = range(0)


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
    _forget_earlier(connection, tables, leftovers.earlier_ns)
    _number_anew(connection, tables)


def _forget_earlier(connection: Connection, tables: Tables, earlier_ns: range) -> None:
    if not earlier_ns:
        return
    event_id = tables.outbox.c.event_id
    began, ended = _first_id(earlier_ns.start), _first_id(earlier_ns.stop)
    forgotten = connection.execute(delete(tables.outbox).where(event_id >= began, event_id < ended)).rowcount
    if forgotten:
        which = "1 event that was" if forgotten == 1 else f"{forgotten} events that were"
        _log.warning(
            "%s committed before this test began %s forgotten: no application ran to send them; a test sees what "
            "it commits itself, or a fixture of its own",
            *(which, "is" if forgotten == 1 else "are"),
        )


def _first_id(time_ns: int) -> UUID:
    """What no id of an event that was made at that time, or later, is below: they begin with the millisecond."""
    return UUID(int=time_ns // 1_000_000 << 80)


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
