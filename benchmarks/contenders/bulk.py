"""The limit for rows: what a person would write for speed, exactly once, with the driver alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks.contenders.bare import BATCH, TUNED, consumer
from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.watch import Watch

TABLES = """
CREATE TABLE category (category_id integer PRIMARY KEY, category_name text NOT NULL);
CREATE TABLE position (partition integer PRIMARY KEY, next_offset bigint NOT NULL);
"""


def postgresql(course: dict[str, Any]) -> dict[str, float]:
    with psycopg.connect(course["database"].replace("+psycopg", "")) as connection:
        connection.execute(TABLES)
        connection.commit()

        def apply(partition: int, end: int, names: dict[int, str]) -> None:
            connection.execute(
                "INSERT INTO position VALUES (%s, %s) ON CONFLICT (partition) DO UPDATE "
                "SET next_offset = excluded.next_offset",
                (partition, end),
            )
            connection.execute(
                "INSERT INTO category SELECT * FROM unnest(%s::integer[], %s::text[]) "
                "ON CONFLICT (category_id) DO UPDATE SET category_name = excluded.category_name",
                ([*names], [*names.values()]),
            )
            connection.commit()

        return _kept(course, apply)


def sqlite(course: dict[str, Any]) -> dict[str, float]:
    with _opened(course["database"]) as connection:
        connection.executescript(TABLES)

        def apply(partition: int, end: int, names: dict[int, str]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", (partition, end))
            connection.executemany(
                "INSERT INTO category VALUES (?, ?) ON CONFLICT (category_id) DO UPDATE "
                "SET category_name = excluded.category_name",
                names.items(),
            )
            connection.execute("COMMIT")

        return _kept(course, apply)


@contextmanager
def _opened(url: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    try:
        yield connection
    finally:
        connection.close()


def _kept(course: dict[str, Any], apply: Any) -> dict[str, float]:
    """Of each batch and partition: the last event of each key, and the position, in one transaction."""
    client = consumer(course, TUNED)
    validate = CategoryChanged.model_validate_json
    watch, batch = Watch(course), course.get("batch", BATCH)
    while not watch.done.is_set():
        messages = client.consume(batch, 0.2)
        names: dict[int, dict[int, str]] = {}
        ends: dict[int, int] = {}
        for message in messages:
            event = validate(message.value() or b"")
            partition = message.partition() or 0
            names.setdefault(partition, {})[event.category_id] = event.category_name
            ends[partition] = (message.offset() or 0) + 1
        for partition, end in ends.items():
            apply(partition, end, names[partition])
        if messages:
            watch.saw(len(messages))
    client.close()
    return watch.figures()
