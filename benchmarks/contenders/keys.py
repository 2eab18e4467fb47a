"""What the rows of many keys take on the disk, and how fast those of a source are held against a group's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, Table, insert, select, text

from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys
from streambind.verification.verdict import State
from streambind.verification.verify import Log, verify

GROUP, DESTINATION = "CGR-lecture-categoryChanged", "categoryChanged"
CHUNK = 10_000
EVENT = uuid.UUID(int=7)

HAND = Table(
    "bench_hand",
    MetaData(),
    Column("key", LargeBinary(512), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
"""The last number of each key, and nothing else."""


def by_hand(course: dict[str, Any]) -> dict[str, float]:
    database = _database(course)
    return _size(database, HAND, course["keys"], lambda key: {"key": key, "seq": 1})


def published(course: dict[str, Any]) -> dict[str, float]:
    database = _database(course)
    return _size(database, database.tables.key, course["keys"], _given)


def applied(course: dict[str, Any]) -> dict[str, float]:
    database = _database(course)
    return _size(database, database.tables.guard, course["keys"], _guarded(_source_id(database)))


def compared_by_hand(course: dict[str, Any]) -> dict[str, float]:
    """Both sides read in the order of their keys, their numbers compared."""
    database = _filled(course)
    key, guard = database.tables.key.c, database.tables.guard.c
    given = select(key.key, key.seq).where(key.destination == DESTINATION).order_by(key.key)
    guarded = select(guard.key, guard.seq).where(guard.group_name == GROUP).order_by(guard.key)
    began, same = perf_counter(), 0
    for query in (given, guarded):
        with database.engine.connect() as connection:
            rows = connection.execution_options(stream_results=True).execute(query)
            same += sum(row.seq == 1 for row in rows)
    assert same == 2 * course["keys"]
    return {"rate": course["keys"] / (perf_counter() - began)}


def verified(course: dict[str, Any]) -> dict[str, float]:
    database = _filled(course)
    began = perf_counter()
    report = verify(
        SourceKeys(database, DESTINATION),
        lambda source_id: GroupKeys(database, GROUP, DESTINATION, source_id),
        Log(dict, lambda starts, until: ()),
        limit=20,
    )
    rate = course["keys"] / (perf_counter() - began)
    assert report.counts == {State.APPLIED: course["keys"]}, report
    return {"rate": rate}


def _database(course: dict[str, Any]) -> Database:
    database = Database.from_url(course["database"], loop=EventLoop())
    create_tables(database)
    HAND.metadata.create_all(database.engine)
    return database


def _filled(course: dict[str, Any]) -> Database:
    database = _database(course)
    _fill(database, database.tables.key, course["keys"], _given)
    _fill(database, database.tables.guard, course["keys"], _guarded(_source_id(database)))
    if database.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return database


def _given(key: bytes) -> dict[str, object]:
    return {"destination": DESTINATION, "key": key, "seq": 1, "event_id": EVENT}


def _guarded(source_id: object) -> Callable[[bytes], dict[str, object]]:
    common = {"group_name": GROUP, "destination": DESTINATION, "source_id": source_id, "event_id": str(EVENT)}
    numbers = {"epoch": 1, "seq": 1, "applied_seq": 1, "updated_ms": 1_796_000_000_000}
    return lambda key: {**common, **numbers, "key": key}


def _source_id(database: Database) -> object:
    return database.run(lambda c: c.scalar(select(database.tables.source.c.source_id)))


def _fill(database: Database, table: Table, keys: int, row: Callable[[bytes], dict[str, object]]) -> None:
    for chunk in _chunks(keys):
        rows = [row(b"%05d" % number) for number in chunk]
        database.run(lambda c, rows=rows: c.execute(insert(table), rows))  # type: ignore[misc]


def _chunks(keys: int) -> Iterator[range]:
    for start in range(0, keys, CHUNK):
        yield range(start, min(start + CHUNK, keys))


def _size(
    database: Database, table: Table, keys: int, row: Callable[[bytes], dict[str, object]]
) -> dict[str, float]:
    before = database.run(lambda c: _bytes(c, table))
    _fill(database, table, keys, row)
    return {"size": (database.run(lambda c: _bytes(c, table)) - before) / keys}


def _bytes(connection: Connection, table: Table) -> int:
    """Of the table with its indexes; on SQLite of the whole file."""
    if connection.dialect.name == "postgresql":
        size = text("SELECT pg_total_relation_size(:name)")
        return int(connection.scalar(size, {"name": table.name}) or 0)
    pages, size_of_page = (int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0) for name in _PRAGMAS)
    return pages * size_of_page


_PRAGMAS = ("page_count", "page_size")
