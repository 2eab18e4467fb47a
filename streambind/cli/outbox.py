"""`streambind outbox`: what waits to be sent, and the tables it waits in."""

from __future__ import annotations

import uuid
from pathlib import Path

import click
from rich.console import Group
from sqlalchemy import Connection, insert, inspect

from streambind.cli.outbox_view import ask_outbox, key_text, outbox_document, outbox_lines
from streambind.cli.output import FAILED, count, json_option, print_json, show, write
from streambind.cli.target import database_named, resolve
from streambind.errors import ConfigurationError, DestinationError
from streambind.outbound.outbox_status import unblock as unblock_keys
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables as create
from streambind.persistence.schema import table_statements
from streambind.persistence.tables import SCHEMA_VERSION, SHARDS


@click.group()
def outbox() -> None:
    """What waits to be sent, and streambind's tables.

    TARGET of every command is a configuration folder or file, or module:attribute.
    """


@outbox.command()
@click.argument("target", required=False)
@json_option
def status(target: str | None, as_json: bool) -> None:
    """Show backlog, blocked keys and who relays.

    A key is blocked when its first message can never be sent; nothing later of it is sent before it.

    \b
    Example:
      streambind outbox status config/category

    Exit code 1 if keys are blocked, 3 if the database does not answer.
    """
    found = ask_outbox(resolve(target))
    if as_json:
        print_json(outbox_document(found))
    else:
        show(Group(*outbox_lines(found)))
    if found.blocked:
        raise SystemExit(FAILED)


@outbox.command("create-tables")
@click.argument("target", required=False)
@click.option("--sql", is_flag=True, help="Print the statements; connect to nothing.")
def create_tables(target: str | None, sql: bool) -> None:
    """Create streambind's tables in the service's database.

    What is there stays as it is. On SQLite the application does it by itself.

    \b
    Examples:
      streambind outbox create-tables config/category
      streambind outbox create-tables config/category --sql > tables.sql
    """
    database = resolve(target).database()
    if sql:
        for statement in [*table_statements(database), *first_rows(database)]:
            click.echo(f"{statement};")
        return
    with database_named(database):
        before = database.run(lambda connection: _present(connection, database))
        create(database)
    made = [table.name for table in database.tables.metadata.sorted_tables if table.name not in before]
    if made:
        write("created in {}: {}", repr(database.engine.url), ", ".join(made))
    else:
        write("all tables are in {} already, version {}", repr(database.engine.url), SCHEMA_VERSION)


@outbox.command()
@click.argument("target", required=False)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Alembic's folder, or any other; without it that of ./alembic.ini, ./alembic or ./migrations.",
)
@click.option("--message", default="streambind tables", show_default=True, help="What the revision says it does.")
def migration(target: str | None, directory: Path | None, message: str) -> None:
    """Write an Alembic revision that creates streambind's tables.

    It follows the current head of the folder, stands on its own (it does not import streambind), and drops the
    tables on downgrade.

    \b
    Examples:
      streambind outbox migration config/category
      streambind outbox migration config/category --directory db/alembic
    """
    try:
        from streambind.cli.outbox_migration import write_migration
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "writing a revision needs Alembic: pip install 'streambind[migrations]'"
        ) from error
    schema = resolve(target).configuration.properties.datasource.table_schema
    path, follows = write_migration(directory, message, schema)
    after = f", after revision {follows}" if follows else ", the first revision"
    write("wrote {}{}; apply it with: alembic upgrade head", path, after)


@outbox.command()
@click.argument("target")
@click.argument("destination")
@click.argument("key", required=False)
def unblock(target: str, destination: str, key: str | None) -> None:
    """Let the relay try blocked keys of DESTINATION again: KEY, or all.

    KEY is written as `streambind outbox status` shows it. What is still refused is blocked again.

    \b
    Examples:
      streambind outbox unblock config/category categoryChanged
      streambind outbox unblock config/category categoryChanged 42
    """
    resolved = resolve(target)
    blocked = [b for b in ask_outbox(resolved).blocked if b.destination == destination]
    chosen = [b.key for b in blocked if key is None or key_text(b.key) == key]
    if not chosen:
        keys = ", ".join(key_text(b.key) for b in blocked)
        hint = f"; blocked are: {keys}" if keys else "; no key is blocked there"
        raise DestinationError(f"nothing to unblock in {destination}{hint}")
    database = resolved.database()
    with database_named(database):
        done = sum(unblock_keys(database, destination, each) for each in chosen)
    write("unblocked {} of {}; the relay tries again", count(done, "key"), destination)


def first_rows(database: Database) -> list[str]:
    """The INSERT statements without which the tables are not accepted."""
    tables = database.tables
    statements = [insert(tables.schema_version).values(version=SCHEMA_VERSION)]
    statements += [insert(tables.lease).values(shard=shard, expires_ms=0) for shard in range(SHARDS)]
    statements.append(insert(tables.source).values(source_id=str(uuid.uuid4()), epoch=1))
    literal = {"literal_binds": True}
    return [str(s.compile(dialect=database.engine.dialect, compile_kwargs=literal)) for s in statements]


def _present(connection: Connection, database: Database) -> set[str]:
    schema = database.tables.metadata.schema
    return set(inspect(connection).get_table_names(schema=schema))
