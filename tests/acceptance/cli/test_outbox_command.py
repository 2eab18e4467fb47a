"""`streambind outbox`: tables and revisions on real databases, blocked keys."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, insert, inspect, text

from streambind.cli.outbox_view import key_text
from streambind.errors import SchemaError
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables, prepare_tables
from streambind.persistence.tables import SCHEMA_VERSION
from tests.acceptance.cli.conftest import WITHIN_S, Inside

TABLES = (
    "sb_audit, sb_blocked, sb_guard, sb_inbox, sb_key, sb_lease, sb_letter, sb_outbox, sb_parked, "
    "sb_parked_key, sb_position, sb_schema, sb_snapshot, sb_source"
)

ENVIRONMENT = """\
from alembic import context
from sqlalchemy import create_engine

if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""

OWN_REVISION = """\
import sqlalchemy as sa
from alembic import op

revision = "abc123"
down_revision = None


def upgrade() -> None:
    op.create_table("own", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("own")
"""


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'service.db'}"
    fixture = {"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param]
    found: str = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def service(inside: Inside, url: str) -> Inside:
    """A folder with the configuration of a service on that database."""
    inside.write({"application.yaml": "streambind.datasource.url: ${DATABASE_URL}\n"})
    inside.environment["DATABASE_URL"] = url
    return inside


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database.from_url(url, loop=EventLoop())
    yield made
    made.dispose()


def _alembic(inside: Inside, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alembic", *arguments]
    result = subprocess.run(
        command, cwd=inside.folder, capture_output=True, timeout=WITHIN_S, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


def _tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_tables_are_created_once_and_named(service: Inside, database: Database) -> None:
    first = service.run("outbox", "create-tables")
    assert first.returncode == 0
    assert first.stdout.endswith(f": {TABLES}\n")
    document = json.loads(service.run("outbox", "create-tables", "--json").stdout)
    assert (document["created"], document["version"]) == ([], SCHEMA_VERSION)
    second = service.run("outbox", "create-tables")
    assert second.stdout.startswith("all tables are in ")
    prepare_tables(database)


def test_the_statements_alone_make_accepted_tables(service: Inside, url: str, database: Database) -> None:
    result = service.run("outbox", "create-tables", "--sql")
    assert result.returncode == 0
    document = json.loads(service.run("outbox", "create-tables", "--sql", "--json").stdout)
    assert [each.split()[0] for each in document["statements"][:3]] == ["CREATE"] * 3
    assert not _tables(url)

    def apply(connection: Connection) -> None:
        for statement in result.stdout.split(";\n"):
            if statement.strip():
                connection.execute(text(statement))

    database.run(apply)
    prepare_tables(database)


def test_a_revision_follows_the_head_and_goes_both_ways(service: Inside, url: str, database: Database) -> None:
    ini = f"[alembic]\nscript_location = db\nsqlalchemy.url = {url}\n"
    service.write({"alembic.ini": ini, "db/env.py": ENVIRONMENT, "db/versions/abc123_own.py": OWN_REVISION})
    result = service.run("outbox", "migration", "--message", 'our "outbox"')
    assert ", after revision abc123; apply it with: alembic upgrade head" in result.stdout
    [path] = (service.folder / "db" / "versions").glob("*_our_outbox.py")
    assert "streambind" not in path.read_text().partition("import")[2].replace("streambind tables", "")
    _alembic(service, "upgrade", "head")
    prepare_tables(database)
    assert _tables(url) == {"own", "alembic_version", *TABLES.split(", ")}
    _alembic(service, "downgrade", "abc123")
    assert _tables(url) == {"own", "alembic_version"}
    _alembic(service, "upgrade", "head")
    prepare_tables(database)
    again = service.run("outbox", "migration")
    assert again.returncode == 1
    assert "creates streambind's tables already" in again.stderr


def test_the_revisions_tables_are_the_ones_that_are_created_directly(
    service: Inside, url: str, database: Database
) -> None:
    """Column for column: a revision must not drift from `create_tables`."""
    create_tables(database)
    direct = _columns(url)
    database.run(lambda connection: database.tables.metadata.drop_all(connection))
    ini = f"[alembic]\nscript_location = db\nsqlalchemy.url = {url}\n"
    service.write({"alembic.ini": ini, "db/env.py": ENVIRONMENT})
    assert service.run("outbox", "migration", "--directory", "db").returncode == 0
    _alembic(service, "upgrade", "head")
    assert _columns(url) == direct


def _columns(url: str) -> dict[str, object]:
    engine = create_engine(url)
    try:
        found = inspect(engine)
        return {
            table: (
                [(c["name"], str(c["type"]), c["nullable"], c.get("default")) for c in found.get_columns(table)],
                found.get_pk_constraint(table)["constrained_columns"],
                [(index["name"], index["column_names"]) for index in found.get_indexes(table)],
            )
            for table in found.get_table_names()
            if table.startswith("sb_")
        }
    finally:
        engine.dispose()


def test_any_folder_takes_a_first_revision(inside: Inside) -> None:
    inside.write({"application.yaml": "streambind.datasource.schema: app\n", "sql/.keep": ""})
    result = inside.run("outbox", "migration", "--directory", "sql")
    assert ", the first revision;" in result.stdout
    [path] = (inside.folder / "sql").glob("*.py")
    (inside.folder / "json").mkdir()
    document = json.loads(inside.run("outbox", "migration", "--directory", "json", "--json").stdout)
    assert document["follows"] is None
    assert (inside.folder / document["file"]).is_file()
    assert "down_revision = None" in path.read_text()
    assert path.read_text().count("schema='app'") > 10


def test_several_heads_and_missing_folders_are_said(inside: Inside) -> None:
    other = OWN_REVISION.replace("abc123", "def456")
    inside.write({"application.yaml": "streambind: {}\n"})
    assert "name a folder with --directory" in inside.run("outbox", "migration").stderr
    inside.write(
        {"alembic/env.py": ENVIRONMENT, "alembic/versions/a.py": OWN_REVISION, "alembic/versions/b.py": other}
    )
    result = inside.run("outbox", "migration")
    assert result.returncode == 1
    assert "several heads" in result.stderr
    inside.write({"alembic/versions/b.py": "this is no Python"})
    result = inside.run("outbox", "migration")
    assert result.returncode == 1
    assert "Alembic cannot read alembic" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_tables_name_the_command(service: Inside, url: str, database: Database) -> None:
    result = service.run("outbox", "status")
    assert result.returncode == 1
    assert "`streambind outbox create-tables`" in result.stderr
    assert "Traceback" not in result.stderr
    if url.startswith("postgresql"):
        with pytest.raises(SchemaError):
            prepare_tables(database)


def test_what_waits_and_what_is_blocked(service: Inside, database: Database) -> None:
    create_tables(database)
    _fill(database)
    hostile = "too large \x1b[2J"
    result = service.run("outbox", "status")
    assert result.returncode == 1
    assert "backlog  2 messages, the oldest 2 min" in result.stdout
    assert "relay    host-1 has shards 0-3, lease ends in" in result.stdout
    assert "blocked  3 keys" in result.stdout
    assert r"too large \x1b[2J" in result.stdout
    assert "\x1b" not in result.stdout
    document = json.loads(service.run("outbox", "status", "--json").stdout)
    assert document["backlog"] == 2
    assert [b["key"] for b in document["blocked"]] == ["7", "\\xff", None]
    assert document["blocked"][0]["reason"] == hostile
    assert len(document["leases"]) == 16


def test_blocked_keys_are_let_go_as_they_are_shown(service: Inside, database: Database) -> None:
    create_tables(database)
    _fill(database)
    assert key_text(b"\xff") == r"\xff"
    wrong = service.run("outbox", "unblock", "--key", "8")
    assert wrong.returncode == 1
    assert r"blocked are: 7 of a, \xff of a, (no key) of a" in wrong.stderr
    first = service.run("outbox", "unblock", ".", "--destination", "a", "--key", r"\xff")
    assert "refused" in first.stdout
    assert first.stdout.endswith("unblocked 1 key; the relay tries again\n")
    document = json.loads(service.run("outbox", "unblock", "--key", "(no key)", "--json").stdout)
    assert [(b["destination"], b["key"], b["reason"]) for b in document["unblocked"]] == [("a", None, "refused")]
    assert service.run("outbox", "unblock", "--all").stdout.endswith("unblocked 1 key; the relay tries again\n")
    assert service.run("outbox", "unblock", "--all").stdout == "unblocked 0 keys\n"
    assert service.run("outbox", "status").returncode == 0


def test_a_dry_run_shows_what_it_would_unblock_and_changes_nothing(service: Inside, database: Database) -> None:
    create_tables(database)
    _fill(database)
    result = service.run("outbox", "unblock", "--destination", "a", "--dry-run")
    assert result.returncode == 0
    assert r"too large \x1b[2J" in result.stdout
    assert "would unblock 3 keys" in result.stdout
    assert len(json.loads(service.run("outbox", "status", "--json").stdout)["blocked"]) == 3


@pytest.mark.parametrize("options", [[], ["--all", "--key", "7"]], ids=["nothing", "both"])
def test_which_keys_must_be_said(service: Inside, options: list[str]) -> None:
    result = service.run("outbox", "unblock", *options)
    assert result.returncode == 2
    assert "or say --all" in result.stderr


def _fill(database: Database) -> None:
    tables, now = database.tables, database.dialect.now_ms
    row = {"shard": 0, "binding": "out-a", "destination": "a", "headers": "[]", "created_ms": now - 120_000}
    blocked = [(b"7", "too large \x1b[2J", 1000), (b"\xff", "refused", 2000), (b"", "refused", 3000)]

    def work(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(insert(tables.outbox).values(event_id=uuid.uuid4(), **row))
        for key, reason, since in blocked:
            values = {
                "destination": "a",
                "key": key,
                "reason": reason,
                "since_ms": since,
                "row_id": 0 if key else 1,
            }
            connection.execute(insert(tables.blocked).values(**values))
        connection.execute(
            tables.lease.update().where(tables.lease.c.shard < 4).values(owner="host-1", expires_ms=now + 60_000)
        )

    database.run(work)


def test_tables_of_another_version_are_refused(inside: Inside) -> None:
    inside.write({"application.yaml": "streambind.datasource.url: sqlite:///service.db\n"})
    assert inside.run("outbox", "create-tables").returncode == 0
    with sqlite3.connect(inside.folder / "service.db") as connection:
        connection.execute("UPDATE sb_schema SET version = 99")
    connection.close()
    for command in ("create-tables", "status"):
        result = inside.run("outbox", command)
        assert result.returncode == 1
        assert "are of version 99" in result.stderr
