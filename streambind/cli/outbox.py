"""`streambind outbox`: what waits to be sent, and the tables it waits in."""

from __future__ import annotations

import uuid
from pathlib import Path

import click
from rich.console import Group
from rich.text import Text
from sqlalchemy import Connection, insert, inspect

from streambind.cli.outbox_epoch import new_epoch
from streambind.cli.outbox_view import (
    ask_outbox,
    blocked_document,
    blocked_table,
    key_text,
    outbox_document,
    outbox_lines,
)
from streambind.cli.output import FAILED, count, json_option, print_json, show, write
from streambind.cli.target import database_named, resolve
from streambind.configuration.masking import shown_url
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


outbox.add_command(new_epoch)


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
@json_option
def create_tables(target: str | None, sql: bool, as_json: bool) -> None:
    """Create streambind's tables in the service's database.

    What is there stays as it is. On SQLite the application does it by itself.

    \b
    Examples:
      streambind outbox create-tables config/category
      streambind outbox create-tables config/category --sql > tables.sql
    """
    database = resolve(target).database()
    if sql:
        statements = [*table_statements(database), *first_rows(database)]
        if as_json:
            print_json({"statements": statements})
        else:
            for statement in statements:
                click.echo(f"{statement};")
        return
    with database_named(database):
        before = database.run(lambda connection: _present(connection, database))
        create(database)
    made = [table.name for table in database.tables.metadata.sorted_tables if table.name not in before]
    if as_json:
        print_json({"database": shown_url(database.engine.url), "created": made, "version": SCHEMA_VERSION})
    elif made:
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
@json_option
def migration(target: str | None, directory: Path | None, message: str, as_json: bool) -> None:
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
    if as_json:
        print_json({"file": str(path), "follows": follows})
        return
    after = f", after revision {follows}" if follows else ", the first revision"
    write("wrote {}{}; apply it with: alembic upgrade head", path, after)


@outbox.command()
@click.argument("target", required=False)
@click.option("--destination", help="Only keys of this destination.")
@click.option("--key", help="Only this key, as `streambind outbox status` shows it.")
@click.option("--all", "every", is_flag=True, help="Every blocked key.")
@click.option("--dry-run", is_flag=True, help="Show which keys it would be; change nothing.")
@json_option
def unblock(
    target: str | None, *, destination: str | None, key: str | None, every: bool, dry_run: bool, as_json: bool
) -> None:
    """Let the relay try blocked keys again.

    Mend first what the reason says. What is still refused is blocked again, with the reason of that day. No
    message is left out: consumers would miss its number.

    \b
    Examples:
      streambind outbox unblock config/category --destination changed --key 42
      streambind outbox unblock config/category --all --dry-run

    Exit code 1 if there is no such key, 3 if the database does not answer.
    """
    named = destination is not None or key is not None
    if named == every:
        raise click.UsageError("name the keys by --destination, --key or both, or say --all")
    resolved = resolve(target)
    blocked = ask_outbox(resolved).blocked
    chosen = [b for b in blocked if destination in (None, b.destination) and key in (None, key_text(b.key))]
    if named and not chosen:
        keys = ", ".join(f"{key_text(b.key)} of {b.destination}" for b in blocked)
        hint = f"; blocked are: {keys}" if keys else "; no key is blocked"
        raise DestinationError(f"nothing to unblock{hint}")
    if not dry_run and chosen:
        database = resolved.database()
        with database_named(database):
            unblock_keys(database, chosen)
    if as_json:
        print_json({"unblocked": [blocked_document(b) for b in chosen], "dry_run": dry_run})
        return
    if chosen:
        show(Group(blocked_table(chosen), Text()))
    done = "would unblock {}" if dry_run else "unblocked {}; the relay tries again" if chosen else "unblocked {}"
    write(done, count(len(chosen), "key"))


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
