"""Many rows of a table in one statement, on every engine, with values of every type that services keep."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    Uuid,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeDecorator

from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.row_statements import RowStatements
from tests.integration.urls import drivers, url_of

ENGINES = drivers(
    *("sqlite", "sqlite+aiosqlite"),
    *("postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"),
    *("mysql+pymysql", "mysql8+pymysql"),
)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Shouted(TypeDecorator[str]):
    """Text that is kept in capitals."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.upper()


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    loop = EventLoop()
    database = Database.from_url(url_of(request.param, request, tmp_path), loop=loop)
    yield database
    database.dispose()
    loop.close()


@pytest.fixture
def statements(database: Database) -> RowStatements:
    return database.dialect.row_statements()


def table_with(database: Database, *columns: Column[Any]) -> Table:
    table = Table("things", MetaData(), *columns)
    database.run(lambda connection: table.metadata.create_all(connection))
    return table


def rows(database: Database, table: Table) -> list[tuple[Any, ...]]:
    query = select(table).order_by(*table.primary_key.columns)
    return database.run(lambda connection: [tuple(row) for row in connection.execute(query)])


TYPES: dict[str, tuple[Any, list[Any]]] = {
    "text": (String(10), ["a", "최종", "", None, 'q"{},\\']),
    "long text": (Text(), ["x" * 5000, None]),
    "number": (Integer(), [1, -5, None, 2_000_000_000]),
    "decimal": (Numeric(10, 2), [Decimal("1.50"), None, Decimal("-99999999.99")]),
    "float": (Double(), [1.5, 1e300, None]),
    "truth": (Boolean(), [True, False, None]),
    "moment": (DateTime(timezone=True), [datetime(2026, 1, 2, 3, 4, 5, 678, UTC), None]),
    "local": (DateTime(), [datetime(2026, 1, 2, 3, 4, 5), None]),
    "day": (Date(), [date(2026, 1, 2), None]),
    "hour": (Time(), [time(3, 4, 5), None]),
    "span": (Interval(), [timedelta(days=1, seconds=5), None]),
    "uuid": (Uuid(), [uuid.UUID(int=7), None]),
    "bytes": (LargeBinary(), [b"\x00\xff", None, b""]),
    "colour": (Enum(Colour), [Colour.RED, Colour.BLUE, None]),
    "word for a colour": (Enum(Colour, native_enum=False), [Colour.RED, None]),
    "json": (JSON(), [{"a": [1, None]}, [1, 2], "text", 7, [[1], []]]),
    "jsonb": (JSON().with_variant(JSONB(), "postgresql"), [{"a": {"b": 1}}, []]),
    "shouted": (Shouted(), ["A", None]),
}


@pytest.mark.parametrize("name", TYPES)
def test_values_of_every_type_arrive_as_one_row_would_bring_them(
    database: Database, statements: RowStatements, name: str
) -> None:
    if database.engine.name != "postgresql" and name == "moment":
        pytest.skip("only PostgreSQL keeps time zones")
    type_, values = TYPES[name]
    # To MySQL, 0 in a column that numbers rows is the next number.
    key: Column[Any] = Column("id", Integer, primary_key=True, autoincrement=False)
    table = table_with(database, key, Column("value", type_))
    database.run(lambda connection: connection.execute(insert(table), [{"id": 0, "value": values[0]}]))
    given = list(enumerate(values))

    write = statements.upsert(table, [table.c.id], [table.c.id, table.c.value])
    database.run(lambda connection: write(connection, given))

    assert rows(database, table) == given
    update = statements.update(table, [table.c.id], [table.c.value])
    database.run(lambda connection: update(connection, [(0, values[1]), (99, values[1])]))
    assert rows(database, table)[0] == (0, values[1])


def test_arrays_arrive_too(database: Database, statements: RowStatements) -> None:
    if database.engine.name != "postgresql":
        pytest.skip("only PostgreSQL has arrays")
    table = table_with(database, Column("id", Integer, primary_key=True), Column("tags", ARRAY(String)))
    given = [(1, ["a", "b"]), (2, []), (3, None), (4, ["c"])]

    write = statements.upsert(table, [table.c.id], [table.c.id, table.c.tags])
    database.run(lambda connection: write(connection, given))

    assert rows(database, table) == given


def test_text_that_is_too_long_is_refused_and_not_cut(database: Database, statements: RowStatements) -> None:
    if database.engine.name == "sqlite":
        pytest.skip("SQLite does not look at lengths")
    table = table_with(database, Column("id", Integer, primary_key=True), Column("name", String(3)))
    write = statements.upsert(table, [table.c.id], [table.c.id, table.c.name])

    with pytest.raises(DBAPIError):
        database.run(lambda connection: write(connection, [(1, "abc"), (2, "abcd")]))


def test_what_is_not_named_keeps_its_value_or_takes_its_default(
    database: Database, statements: RowStatements
) -> None:
    table = table_with(
        database,
        Column("id", Integer, primary_key=True),
        Column("name", String(10)),
        Column("price", Integer, default=5),
        Column("token", String(40), default=lambda: str(uuid.uuid4())),
        Column("kind", String(10), server_default="plain"),
        Column("made", DateTime, default=func.now()),
        Column("touched", Integer, default=0, onupdate=1),
        Column("seen", Integer, default=lambda: 0, onupdate=lambda: 2),
    )
    write = statements.upsert(table, [table.c.id], [table.c.id, table.c.name])

    database.run(lambda connection: write(connection, [(1, "a"), (2, "b")]))
    first, second = rows(database, table)
    database.run(lambda connection: write(connection, [(1, "c"), (3, "d")]))
    changed, untouched, _ = rows(database, table)

    assert first[1:3] == ("a", 5)
    assert first[3] != second[3]
    assert first[4] == "plain"
    assert first[5] is not None
    assert first[6:] == (0, 0)
    assert untouched == second
    assert changed == (1, "c", *first[2:6], 1, 2)


def test_rows_are_found_by_several_columns(database: Database, statements: RowStatements) -> None:
    table = table_with(
        database,
        Column("tenant", String(10), primary_key=True),
        Column("id", Integer, primary_key=True),
        Column("name", String(10)),
    )
    key = [table.c.tenant, table.c.id]
    write = statements.upsert(table, key, [*key, table.c.name])
    delete = statements.delete(table, key)
    update = statements.update(table, key, [table.c.name])

    database.run(lambda c: write(c, [("a", 1, "x"), ("a", 2, "y"), ("b", 1, "z")]))
    database.run(lambda c: update(c, [("a", 2, "changed"), ("b", 2, "nobody")]))
    database.run(lambda c: delete(c, [("b", 1), ("b", 9)]))

    assert rows(database, table) == [("a", 1, "x"), ("a", 2, "changed")]


def test_a_row_that_is_nothing_but_its_key_is_inserted_once(database: Database, statements: RowStatements) -> None:
    table = table_with(database, Column("id", Integer, primary_key=True))
    write = statements.upsert(table, [table.c.id], [table.c.id])

    database.run(lambda c: write(c, [(1,), (2,)]))
    database.run(lambda c: write(c, [(2,), (3,)]))

    assert rows(database, table) == [(1,), (2,), (3,)]


def test_names_that_need_quotes_are_quoted(database: Database, statements: RowStatements) -> None:
    # SQLAlchemy's MySQL escapes the sign twice.
    name = "per cent:of" if database.engine.name == "mysql" else "per%cent:of"
    table = table_with(
        database,
        Column("Order", Integer, primary_key=True, key="order_id"),
        Column(name, String(10), key="share"),
    )
    write = statements.upsert(table, [table.c.order_id], [table.c.order_id, table.c.share])
    update = statements.update(table, [table.c.order_id], [table.c.share])
    delete = statements.delete(table, [table.c.order_id])

    database.run(lambda c: write(c, [(1, "a"), (2, "b")]))
    database.run(lambda c: update(c, [(1, "c")]))
    database.run(lambda c: delete(c, [(2,)]))

    assert rows(database, table) == [(1, "c")]
