"""Creating streambind's tables, and telling whether they are there and of this version."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from streambind.configuration.masking import shown_url
from streambind.errors import SchemaError
from streambind.persistence.database import Database
from streambind.persistence.failures import sqlstate
from streambind.persistence.tables import SCHEMA_VERSION, SHARDS

_UNDEFINED_TABLE = "42P01"


def prepare_tables(database: Database) -> None:
    """SQLite: create what is missing. Elsewhere: only look.

    Raises:
        SchemaError: the tables are missing (elsewhere than on SQLite) or of another version.
    """
    if database.dialect.name == "sqlite":
        create_tables(database)
    else:
        database.run(lambda connection: check_tables(connection, database))


def create_tables(database: Database) -> None:
    """Create the tables that are missing and their first rows; harmless when all is there, and when two
    processes do it at once.

    Raises:
        SchemaError: there are tables of another version.
    """

    def work(connection: Connection) -> None:
        tables, dialect = database.tables, database.dialect
        if _exists(connection, database):
            check_tables(connection, database)
        tables.metadata.create_all(connection)
        dialect.insert_missing(connection, tables.schema_version, [{"version": SCHEMA_VERSION}])
        leases = [{"shard": shard, "owner": None, "expires_ms": 0} for shard in range(SHARDS)]
        dialect.insert_missing(connection, tables.lease, leases)
        if connection.execute(select(tables.source)).first() is None:
            connection.execute(insert(tables.source).values(source_id=str(uuid.uuid4()), epoch=1))

    if database.dialect.name == "postgresql":
        # CREATE TABLE IF NOT EXISTS is not safe against a second creator; an advisory lock is.
        locked = work

        def work(connection: Connection) -> None:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7366140215)")
            locked(connection)

    database.run(work)


def check_tables(connection: Connection, database: Database) -> None:
    """
    Raises:
        SchemaError: the tables are missing or of another version.
    """
    if not _exists(connection, database):
        raise _missing(database)
    versions = list(connection.scalars(select(database.tables.schema_version.c.version)))
    if versions != [SCHEMA_VERSION]:
        found = ", ".join(map(str, versions)) or "none"
        raise SchemaError(
            f"streambind's tables in {shown_url(database.engine.url)} are of version {found}, "
            f"this streambind needs {SCHEMA_VERSION}: {remedy(database)}"
        )


def refused_for_tables(error: DBAPIError, database: Database) -> SchemaError | None:
    """What to raise for a statement of streambind's own that failed because its tables are not there; None if it
    failed for anything else."""
    missing = sqlstate(error) == _UNDEFINED_TABLE or "no such table" in str(error.orig)
    return _missing(database) if missing else None


def remedy(database: Database) -> str:
    """How people make the tables."""
    target = f" {database.command_target}".rstrip()
    start = "start the application once, or " if database.dialect.name == "sqlite" else ""
    return (
        f"{start}run `streambind outbox create-tables{target}`, or apply the revision that "
        f"`streambind outbox migration{target}` writes"
    )


def _missing(database: Database) -> SchemaError:
    return SchemaError(f"streambind's tables are not in {shown_url(database.engine.url)}: {remedy(database)}")


def table_statements(database: Database) -> list[str]:
    """The DDL that `create_tables` runs, for a migration or a DBA to read."""
    statements: list[str] = []
    for table in database.tables.metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=database.engine.dialect)).strip())
        for index in sorted(table.indexes, key=lambda i: str(i.name)):
            statements.append(str(CreateIndex(index).compile(dialect=database.engine.dialect)).strip())
    return statements


def _exists(connection: Connection, database: Database) -> bool:
    table = database.tables.schema_version
    return inspect(connection).has_table(table.name, schema=table.schema)
