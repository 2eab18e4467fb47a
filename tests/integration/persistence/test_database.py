"""The same work on every engine: synchronous and asynchronous, SQLite, PostgreSQL, MariaDB and MySQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, delete, func, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateSchema

from streambind.errors import ConfigurationError, SchemaError
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables, prepare_tables, table_statements
from streambind.persistence.tables import SHARDS
from tests.integration.urls import drivers, url_of

ENGINES = drivers(
    *("sqlite", "sqlite+aiosqlite"),
    *("postgresql+psycopg", "postgresql+asyncpg"),
    *("mysql+pymysql", "mariadb+asyncmy"),
    *("mysql8+pymysql", "mysql8+asyncmy"),
)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path, loop: EventLoop) -> Iterator[Database]:
    database = Database.from_url(url_of(request.param, request, tmp_path), loop=loop)
    yield database
    database.dispose()


def _leases(database: Database) -> int:
    return database.run(lambda c: c.scalar(select(func.count()).select_from(database.tables.lease)) or 0)


def test_tables_are_created_once_and_found_again(database: Database) -> None:
    create_tables(database)
    source = database.run(lambda c: c.execute(select(database.tables.source)).one())

    create_tables(database)
    prepare_tables(database)

    assert database.run(lambda c: c.execute(select(database.tables.source)).one()) == source
    assert _leases(database) == SHARDS


def test_errors_of_an_engine_of_our_own_hold_no_values(database: Database) -> None:
    with pytest.raises(DBAPIError) as raised:
        database.run(lambda c: c.execute(text("SELECT :value FROM nowhere"), {"value": "Mallory-123-45"}))
    assert "Mallory" not in str(raised.value)


@pytest.mark.parametrize("url", drivers("postgresql+psycopg", "postgresql+asyncpg"))
@pytest.mark.parametrize("schema", [None, "own place"])
def test_a_sequence_that_hands_out_ids_in_advance_is_refused(
    url: str, schema: str | None, request: pytest.FixtureRequest, tmp_path: Path, loop: EventLoop
) -> None:
    """A later commit would get a lower id than an earlier one, and the events of a key the wrong order."""
    database = Database.from_url(url_of(url, request, tmp_path), loop=loop, schema=schema)
    if schema is not None:
        database.run(lambda c: c.execute(CreateSchema(schema)))
    create_tables(database)
    prepare_tables(database)
    sequence = "sb_outbox_id_seq" if schema is None else f'"{schema}".sb_outbox_id_seq'
    database.run(lambda c: c.exec_driver_sql(f"ALTER SEQUENCE {sequence} CACHE 20"))

    with pytest.raises(SchemaError, match=r"20 numbers at a time .* ALTER SEQUENCE .*sb_outbox_id_seq CACHE 1"):
        prepare_tables(database)

    database.run(lambda c: c.exec_driver_sql(f"ALTER SEQUENCE {sequence} CACHE 1"))
    prepare_tables(database)
    database.dispose()


def test_two_creators_at_once_make_one_set_of_tables(database: Database) -> None:
    errors: list[BaseException] = []

    def create() -> None:
        try:
            create_tables(database)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert _leases(database) == SHARDS
    assert database.run(lambda c: c.scalar(select(func.count()).select_from(database.tables.source))) == 1


def test_missing_tables_are_created_on_sqlite_and_named_elsewhere(database: Database) -> None:
    if database.dialect.name == "sqlite":
        prepare_tables(database)
        assert _leases(database) == SHARDS
    else:
        with pytest.raises(SchemaError, match="`streambind outbox create-tables TARGET`"):
            prepare_tables(database)


def test_tables_of_another_version_are_refused(database: Database) -> None:
    create_tables(database)
    database.run(lambda c: c.execute(update(database.tables.schema_version).values(version=99)))

    with pytest.raises(SchemaError, match="of version 99"):
        prepare_tables(database)


def test_work_that_raises_leaves_nothing(database: Database) -> None:
    create_tables(database)

    def fail(connection: Any) -> None:
        connection.execute(delete(database.tables.lease))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.run(fail)
    with pytest.raises(ValueError, match="no"):
        database.run_session(lambda session, _: fail(session))

    assert _leases(database) == SHARDS


def test_a_savepoint_that_is_rolled_back_leaves_nothing(database: Database) -> None:
    create_tables(database)

    def work(session: Any, _: Any) -> None:
        with session.begin_nested() as savepoint:
            session.execute(delete(database.tables.lease))
            savepoint.rollback()

    database.run_session(work)

    assert _leases(database) == SHARDS


def test_adding_counts_up_under_the_row_s_lock(database: Database) -> None:
    create_tables(database)
    rows = [{"destination": "t", "key": b"1", "seq": 1}, {"destination": "t", "key": b"2", "seq": 3}]

    first = database.run(lambda c: database.dialect.add(c, database.tables.key, rows, "seq"))
    second = database.run(lambda c: database.dialect.add(c, database.tables.key, rows, "seq"))

    assert [row.seq for row in first] == [1, 3]
    assert [row.seq for row in second] == [2, 6]


def test_inserting_missing_rows_returns_those_that_were_missing(database: Database) -> None:
    create_tables(database)
    rows = [{"destination": "t", "key": str(n).encode(), "seq": n} for n in range(15_000)]

    database.run(lambda c: database.dialect.insert_missing(c, database.tables.key, rows[:5_000]))
    inserted = database.run(lambda c: database.dialect.insert_missing(c, database.tables.key, rows))

    assert sorted(row["seq"] for row in inserted) == list(range(5_000, 15_000))


def test_the_clock_is_the_database_s_and_moves_within_a_transaction(database: Database) -> None:
    def work(connection: Any) -> tuple[int, int]:
        clock = select(database.dialect.now_ms)
        before = connection.scalar(clock)
        while (after := connection.scalar(clock)) == before:
            pass
        return before, after

    before, after = database.run(work)
    assert 1_700_000_000_000 < before < after


def test_the_ddl_names_every_table(database: Database) -> None:
    ddl = "\n".join(table_statements(database))

    assert all(table.name in ddl for table in database.tables.metadata.sorted_tables)


def test_sqlite_does_not_lose_updates_between_threads(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'counter.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    database = Database(sessionmaker(engine), loop=EventLoop())

    def count() -> None:
        for _ in range(25):
            database.run(_read_then_write)

    def _read_then_write(connection: Any) -> None:
        value = connection.scalar(text("SELECT n FROM counter"))
        connection.execute(text("UPDATE counter SET n = :n"), {"n": value + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert database.run(lambda c: c.scalar(text("SELECT n FROM counter"))) == 100
    database.dispose()


def test_sqlite_in_the_memory_of_one_thread_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="private to each thread"):
        Database(sessionmaker(create_engine("sqlite://")), loop=EventLoop())


def test_sqlite_in_shared_memory_works() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    database = Database(sessionmaker(engine), loop=EventLoop())

    create_tables(database)

    assert _leases(database) == SHARDS
    database.dispose()


def test_tables_live_in_their_own_schema(postgres_url: str) -> None:
    database = Database.from_url(postgres_url, loop=EventLoop(), schema="messaging")
    database.run(lambda c: c.execute(text("CREATE SCHEMA messaging")))

    create_tables(database)

    database.run(lambda c: c.execute(insert(database.tables.source).values(source_id="x", epoch=1)))
    assert database.run(lambda c: c.scalar(text("SELECT count(*) FROM messaging.sb_source"))) == 2
    database.dispose()


def test_how_soon_a_dead_network_is_noticed_is_said_in_the_url(postgres_url: str) -> None:
    told = {
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
    }
    url = make_url(postgres_url).update_query_dict(told).render_as_string(hide_password=False)
    database = Database.from_url(url, loop=EventLoop())

    def parameters(connection: Connection) -> dict[str, str]:
        driver: Any = connection.connection.driver_connection
        found: dict[str, str] = driver.info.get_parameters()
        return found

    assert database.run(parameters).items() >= told.items()
    database.dispose()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("not a url", "not a SQLAlchemy URL"),
        ("mysql+nodriver://h/d", "not a SQLAlchemy URL"),
        ("postgresql+pg8000://h/d", "pg8000"),
    ],
)
def test_a_url_that_cannot_work_is_named_without_its_secrets(url: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as raised:
        Database.from_url(url, loop=EventLoop())
    assert "password" not in str(raised.value)
