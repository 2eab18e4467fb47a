"""Creating streambind's tables, and telling whether they are there and of this version."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from streambind.configuration.masking import shown_url
from streambind.errors import SchemaError
from streambind.persistence.database import Database
from streambind.persistence.failures import is_undefined_table
from streambind.persistence.tables import SCHEMA_VERSION, SHARDS


def prepare_tables(database: Database) -> None:
    """On SQLite, create what is missing. Elsewhere: only look.

    Raises:
        SchemaError: the tables are missing (elsewhere than on SQLite) or of another version.
    """
    if database.dialect.creates_tables:
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
        with dialect.creating(connection):
            if _exists(connection, database) and _versions(connection, database):
                check_tables(connection, database)
            tables.metadata.create_all(connection)
            leases = [{"shard": shard, "owner": None, "expires_ms": 0} for shard in range(SHARDS)]
            dialect.insert_missing(connection, tables.lease, leases)
            if connection.execute(select(tables.source)).first() is None:
                connection.execute(insert(tables.source).values(source_id=str(uuid.uuid4()), epoch=1))
            # Last: where creating tables is no part of a transaction, this is how all is seen to be there.
            dialect.insert_missing(connection, tables.schema_version, [{"version": SCHEMA_VERSION}])

    database.run(work)


def check_tables(connection: Connection, database: Database) -> None:
    """
    Raises:
        SchemaError: the tables are missing or of another version, or ids are not handed out in order.
    """
    if not _exists(connection, database):
        raise _missing(database)
    versions = _versions(connection, database)
    if versions != [SCHEMA_VERSION]:
        found = ", ".join(map(str, versions)) or "none"
        raise SchemaError(
            f"streambind's tables in {shown_url(database.engine.url)} are of version {found}, "
            f"this streambind needs {SCHEMA_VERSION}: {remedy(database)}"
        )
    database.dialect.refuse_settings(connection, database.tables.outbox)


def refused_for_tables(error: DBAPIError, database: Database) -> SchemaError | None:
    """What to raise for a statement of streambind's own that failed because its tables are not there; None if it
    failed for anything else."""
    return _missing(database) if is_undefined_table(error) else None


def remedy(database: Database) -> str:
    """How people make the tables."""
    target = f" {database.command_target}".rstrip()
    start = "start the application once, or " if database.dialect.creates_tables else ""
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


def _versions(connection: Connection, database: Database) -> list[int]:
    return list(connection.scalars(select(database.tables.schema_version.c.version)))
