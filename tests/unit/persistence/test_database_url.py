"""What is said of a URL that no database can be made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import StaticPool

from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import prepare_tables


@pytest.mark.parametrize(
    ("url", "driver", "remedy"),
    [
        ("sqlite+aiosqlite:///a.db", "aiosqlite", "pip install 'streambind[aiosqlite]'"),
        ("postgresql+asyncpg://h/d", "asyncpg", "pip install 'streambind[asyncpg]'"),
        ("postgresql+psycopg://h/d", "psycopg", "pip install 'streambind[postgres]'"),
        (
            "postgresql+psycopg2://h/d",
            "psycopg2",
            "write postgresql+psycopg://, and pip install 'streambind[postgres]'",
        ),
        ("postgresql+pg8000://h/d", "pg8000", "which is not installed"),
        ("mysql+pymysql://h/d", "pymysql", "pip install 'streambind[mysql]'"),
        ("mariadb+asyncmy://h/d", "asyncmy", "pip install 'streambind[asyncmy]'"),
        ("mysql://h/d", "MySQLdb", "write mysql+pymysql://, and pip install 'streambind[mysql]'"),
        ("mysql+aiomysql://h/d", "aiomysql", "write mysql+asyncmy://, and pip install 'streambind[asyncmy]'"),
    ],
)
def test_a_driver_that_is_missing_is_answered_with_the_right_extra(
    url: str, driver: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(ConfigurationError) as raised:
        Database.from_url(url, loop=EventLoop())
    assert f"needs the module {driver!r}, which is not installed" in str(raised.value)
    assert str(raised.value).endswith(remedy)


@pytest.mark.parametrize("url", ["mssql+pyodbc://h/d", "oracle://h/d"])
def test_a_kind_of_database_that_is_not_supported_is_named_before_any_driver(url: str) -> None:
    kind = url.partition(":")[0].partition("+")[0]
    with pytest.raises(ConfigurationError, match=f"mariadb, mysql, postgresql and sqlite, not yet in {kind}"):
        Database.from_url(url, loop=EventLoop())


@pytest.mark.parametrize("url", ["sqlite:///{}/a.db", "sqlite+aiosqlite:///{}/a.db"])
def test_a_folder_that_is_missing_is_named_by_whoever_connects(url: str, tmp_path: Path) -> None:
    loop = EventLoop()
    database = Database.from_url(url.format(tmp_path / "missing"), loop=loop)
    with pytest.raises(ConfigurationError, match=f"no folder {tmp_path}/missing; make it first"):
        prepare_tables(database)
    (tmp_path / "missing").mkdir()
    prepare_tables(database)
    database.dispose()
    loop.close()


def test_databases_in_memory_need_no_folder() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    database = Database(sessionmaker(engine), loop=EventLoop())
    prepare_tables(database)
    engine.dispose()


@pytest.mark.parametrize("said", ["create_engine", "execution_options"])
def test_an_engine_without_transactions_is_refused(said: str) -> None:
    url = "postgresql+psycopg://h/d"
    if said == "create_engine":
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
    else:
        engine = create_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises(ConfigurationError, match="commits each statement by itself"):
        Database(sessionmaker(engine), loop=EventLoop())
