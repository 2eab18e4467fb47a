"""What is particular about MySQL and MariaDB: isolation, settings that outlive a transaction, names, sizes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from streambind.errors import SchemaError
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.failures import is_database_trouble
from streambind.persistence.schema import create_tables, prepare_tables
from tests.integration.urls import drivers, through, url_of

WITHIN_S = 20.0


@pytest.fixture(params=drivers("mysql+pymysql", "mariadb+asyncmy", "mysql8+pymysql", "mysql8+asyncmy"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, by each driver."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture
def blocking_url(url: str) -> str:
    """The same, by a driver that blocks."""
    return through("mysql+pymysql", url)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A service's own engine of one connection, which it gave a limit of its own."""
    loop = EventLoop()
    one: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": WITHIN_S}
    asynchronous = make_url(url).drivername.endswith("asyncmy")
    sessions: Any = (
        async_sessionmaker(create_async_engine(url, **one))
        if asynchronous
        else sessionmaker(create_engine(url, **one))
    )
    made = Database(sessions, loop=loop)
    event.listen(made.engine, "connect", _of_its_own)
    create_tables(made)
    yield made
    made.dispose()
    loop.close()


def _of_its_own(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION innodb_lock_wait_timeout = 7")
    cursor.close()


@pytest.fixture
def elsewhere(blocking_url: str) -> Iterator[Callable[[str], Any]]:
    """Commits a statement on another connection."""
    engine = create_engine(blocking_url)

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    yield run
    engine.dispose()


def _in_a_session(database: Database, statement: str) -> Any:
    """What the service's own sessions see, by the same connection."""
    return database.run_session(lambda session, _: tuple(session.execute(text(statement)).one()))


def _limits(database: Database) -> str:
    """Asks for what `limit_waits` sets: how long a transaction may be silent, and wait for locks."""
    silence = "idle_transaction_timeout" if _is_mariadb(database) else "wait_timeout"
    return f"SELECT @@{silence}, @@innodb_lock_wait_timeout, @@lock_wait_timeout"


def _is_mariadb(database: Database) -> bool:
    return bool(getattr(database.engine.dialect, "is_mariadb", False))


def test_own_transactions_see_what_is_committed_meanwhile_the_services_stay_as_they_are(
    database: Database, elsewhere: Callable[[str], Any]
) -> None:
    count = select(func.count()).select_from(database.tables.source)

    def work(connection: Connection) -> tuple[Any, Any]:
        before = connection.scalar(count)
        elsewhere("INSERT INTO sb_source VALUES ('another', 1)")
        return before, connection.scalar(count)

    assert database.run(work) == (1, 2)
    level = "tx_isolation" if _is_mariadb(database) else "transaction_isolation"
    assert _in_a_session(database, f"SELECT @@{level}") == ("REPEATABLE-READ",)


@pytest.mark.parametrize("fails", [False, True])
def test_limits_of_a_transaction_are_gone_after_it(database: Database, fails: bool) -> None:
    limits = _limits(database)
    before = _in_a_session(database, limits)

    def work(connection: Connection) -> None:
        database.dialect.begin_relay(connection, 5_000)
        database.dialect.limit_waits(connection, 12_345)
        assert tuple(connection.exec_driver_sql(limits).one()) == (13, 13, 13)
        database.dialect.limit_waits(connection, 300_000)
        assert tuple(connection.exec_driver_sql(limits).one()) == (300, 30, 30)
        if fails:
            raise ValueError("no")

    if fails:
        with pytest.raises(ValueError, match="no"):
            database.run(work)
    else:
        database.run(work)

    assert before[1] == 7
    assert _in_a_session(database, limits) == before


def test_a_connection_that_keeps_its_limits_is_given_up(database: Database) -> None:
    def work(connection: Connection) -> int:
        database.dialect.limit_waits(connection, 12_000)
        connection.exec_driver_sql("SET @streambind_lock_wait_timeout = 'nonsense'")
        return int(connection.exec_driver_sql("SELECT connection_id()").scalar() or 0)

    limits = _in_a_session(database, _limits(database))
    before = database.run(work)

    assert _in_a_session(database, "SELECT connection_id()") != (before,)
    assert _in_a_session(database, _limits(database)) == limits


def test_a_lock_is_waited_for_shorter_than_a_statement_may_take(database: Database) -> None:
    def work(connection: Connection) -> Any:
        name, six_seconds = ("max_statement_time", 6) if _is_mariadb(database) else ("max_execution_time", 6000)
        connection.exec_driver_sql(f"SET SESSION {name} = {six_seconds}")
        database.dialect.limit_waits(connection, 300_000)
        connection.exec_driver_sql(f"SET SESSION {name} = 0")
        return connection.exec_driver_sql(_limits(database)).one()

    assert tuple(database.run(work)) == (300, 5, 5)


def test_a_transaction_that_stands_still_is_ended(database: Database, elsewhere: Callable[[str], Any]) -> None:
    def work(connection: Connection) -> None:
        database.dialect.limit_waits(connection, 1_000)
        connection.execute(update(database.tables.source).values(epoch=9))
        elsewhere("UPDATE sb_source SET epoch = 2")  # Once the row is free.
        connection.scalar(select(database.dialect.now_ms))

    with pytest.raises((OperationalError, InternalError)) as raised:
        database.run(work)

    assert is_database_trouble(raised.value)
    assert database.run(lambda c: c.scalar(select(database.tables.source.c.epoch))) == 2


def test_who_inserts_the_same_key_is_waited_for(database: Database, blocking_url: str) -> None:
    key = database.tables.key
    rows = [{"destination": "t", "key": name, "seq": 1} for name in (b"a", b"m", b"z")]
    found: list[Any] = []
    engine = create_engine(blocking_url)
    with engine.connect() as other:
        other.execute(insert(key).values(destination="t", key=b"m", seq=5))
        thread = threading.Thread(
            target=lambda: found.extend(database.run(lambda c: database.dialect.insert_missing(c, key, rows)))
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        other.commit()
    thread.join(WITHIN_S)
    engine.dispose()

    assert [row["key"] for row in found] == [b"a", b"z"]


def test_who_looks_for_a_free_row_locks_no_other_one(database: Database, blocking_url: str) -> None:
    """InnoDB locks all that it sorts: others would find nothing to do."""
    lease = database.tables.lease
    engine = create_engine(blocking_url, isolation_level="READ COMMITTED")
    query = select(lease.c.shard).where(lease.c.expires_ms >= 0).order_by(lease.c.expires_ms, lease.c.shard.desc())
    found: list[int] = []
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second, first, second):
            found.append(database.dialect.first_free(connection, query, lease).shard)
    engine.dispose()

    # Whoever asks again gets its own row.
    assert found == [15, 14, 15, 14]


def test_the_case_of_letters_counts(database: Database) -> None:
    rows = [{"destination": name, "key": b"k", "seq": 1} for name in ("Orders", "orders", "órders")]

    assert database.run(lambda c: database.dialect.insert_missing(c, database.tables.key, rows)) == rows


def test_messages_may_be_larger_than_64_kilobytes(database: Database) -> None:
    outbox = database.tables.outbox
    row = {"shard": 0, "binding": "b", "destination": "d", "key": b"k" * 70_000, "created_ms": 0}
    large = {"payload": bytes(range(256)) * 1024, "headers": "h" * 70_000}

    database.run(lambda c: c.execute(insert(outbox).values(**row, **large)))

    found = database.run(lambda c: c.execute(select(outbox.c.payload, outbox.c.headers)).one())
    assert tuple(found) == tuple(large.values())


def test_tables_that_a_crash_left_unfinished_are_finished(database: Database) -> None:
    """CREATE TABLE commits by itself: the version comes last."""
    for statement in ("DELETE FROM sb_schema", "DROP TABLE sb_key", "DELETE FROM sb_lease WHERE shard > 3"):
        database.run(lambda c, sql=statement: c.execute(text(sql)))  # type: ignore[misc]

    create_tables(database)

    prepare_tables(database)
    assert database.run(lambda c: c.scalar(select(func.count()).select_from(database.tables.lease))) == 16
    assert database.run(lambda c: c.scalar(select(func.count()).select_from(database.tables.key))) == 0


def test_an_upsert_leaves_rows_alone_that_have_the_same_value_in_another_unique_key(database: Database) -> None:
    """ON DUPLICATE KEY UPDATE would change whichever row is in the way."""
    database.run(lambda c: c.execute(text("CREATE TABLE two (id INT PRIMARY KEY, name VARCHAR(9) UNIQUE, x INT)")))

    two = database.run(lambda c: Table("two", MetaData(), autoload_with=c))
    write = database.dialect.row_statements().upsert(two, [two.c.id], [two.c.id, two.c.name, two.c.x])
    database.run(lambda c: write(c, [(1, "a", 0), (2, "b", 0)]))
    database.run(lambda c: write(c, [(1, "c", 5), (3, "d", 0)]))

    with pytest.raises(IntegrityError):
        database.run(lambda c: write(c, [(4, "b", 9), (5, "e", 9)]))

    rows = database.run(lambda c: c.execute(select(two).order_by(two.c.id)).all())
    assert [tuple(row) for row in rows] == [(1, "c", 5), (2, "b", 0), (3, "d", 0)]


def test_a_mode_that_cuts_values_short_is_refused(blocking_url: str) -> None:
    loop = EventLoop()
    engine = create_engine(blocking_url, connect_args={"init_command": "SET SESSION sql_mode = 'ANSI_QUOTES'"})
    database = Database(sessionmaker(engine), loop=loop)
    create_tables(database)

    with pytest.raises(SchemaError, match=r"sql_mode is 'ANSI_QUOTES'.*Add STRICT_TRANS_TABLES"):
        prepare_tables(database)

    database.dispose()
    loop.close()


def test_users_have_passwords(database: Database, elsewhere: Callable[[str], Any], url: str) -> None:
    """MySQL's new users are authenticated by SHA-256, for which drivers need `cryptography` without TLS."""
    name, loop = f"u{uuid.uuid4().hex[:16]}", EventLoop()
    elsewhere(f"CREATE USER {name}@'%' IDENTIFIED BY 'p4ss word'")
    elsewhere(f"GRANT ALL ON `{make_url(url).database}`.* TO {name}@'%'")
    theirs = make_url(url).set(username=name, password="p4ss word").render_as_string(hide_password=False)
    service = Database.from_url(theirs, loop=loop)
    try:
        prepare_tables(service)
        assert service.run(lambda c: c.scalar(text("SELECT user()"))).startswith(f"{name}@")
    finally:
        service.dispose()
        loop.close()
        elsewhere(f"DROP USER {name}@'%'")


def test_tables_may_live_in_another_database(url: str) -> None:
    loop = EventLoop()
    other = f"{make_url(url).database}_x"
    database = Database.from_url(url, loop=loop, schema=other)
    database.run(lambda c: c.execute(text(f"CREATE DATABASE `{other}`")))
    try:
        create_tables(database)
        prepare_tables(database)
        assert database.run(lambda c: c.scalar(text(f"SELECT count(*) FROM `{other}`.sb_source"))) == 1
    finally:
        database.run(lambda c: c.execute(text(f"DROP DATABASE `{other}`")))
        database.dispose()
        loop.close()
