"""An Alembic revision that creates streambind's tables: written out, so that it never changes afterwards."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.autogenerate import render_python_code
from alembic.config import Config
from alembic.operations import ops
from alembic.script import ScriptDirectory

from streambind.errors import ConfigurationError
from streambind.persistence.tables import SCHEMA_VERSION, SHARDS, Tables

_TEMPLATE = '''"""{message}

Revision ID: {revision}
Revises: {follows_text}
Create Date: {moment}
"""

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "{revision}"
down_revision = {follows!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
{upgrade}
    version = sa.table("sb_schema", sa.column("version", sa.Integer()), schema={schema!r})
    op.bulk_insert(version, [{{"version": {version}}}])
    shard, expires = sa.column("shard", sa.SmallInteger()), sa.column("expires_ms", sa.BigInteger())
    lease = sa.table("sb_lease", shard, expires, schema={schema!r})
    op.bulk_insert(lease, [{{"shard": shard, "expires_ms": 0}} for shard in range({shards})])
    source_id, epoch = sa.column("source_id", sa.String(36)), sa.column("epoch", sa.Integer())
    source = sa.table("sb_source", source_id, epoch, schema={schema!r})
    op.bulk_insert(source, [{{"source_id": str(uuid.uuid4()), "epoch": 1}}])


def downgrade() -> None:
{downgrade}
'''


@dataclass(frozen=True)
class _Place:
    """Where the revision goes, and the revision that it follows."""

    folder: Path
    head: str | None


def write_migration(directory: Path | None, message: str, schema: str | None) -> tuple[Path, str | None]:
    """Write the revision; returns its path and the revision that it follows, if there is one.

    Raises:
        ConfigurationError: Alembic's folder is not found or cannot be read, it has several heads, or a revision
            there creates the tables already.
    """
    place = _place(directory)
    for path in sorted(place.folder.glob("*.py")):
        if "sb_schema" in path.read_text(errors="replace"):
            raise ConfigurationError(f"{path} creates streambind's tables already")
    revision = uuid.uuid4().hex[:12]
    words = re.sub(r"\W+", "_", message).strip("_").lower()[:40] or "streambind_tables"
    path = place.folder / f"{revision}_{words}.py"
    path.write_text(_revision(revision, place.head, message, schema), encoding="utf-8")
    return path, place.head


def _revision(revision: str, head: str | None, message: str, schema: str | None) -> str:
    up, down = _operations(schema)
    return _TEMPLATE.format(
        message=" ".join(message.split()).replace("\\", "/").replace('"', "'"),
        revision=revision,
        follows=head,
        follows_text=head or "",
        moment=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        upgrade=up,
        downgrade=down,
        schema=schema,
        version=SCHEMA_VERSION,
        shards=SHARDS,
    )


def _operations(schema: str | None) -> tuple[str, str]:
    """The bodies of upgrade and downgrade, as Alembic itself writes them."""
    tables = Tables(schema).metadata.sorted_tables
    up: list[ops.MigrateOperation] = []
    for table in tables:
        up.append(ops.CreateTableOp.from_table(table))
        up += [ops.CreateIndexOp.from_index(i) for i in sorted(table.indexes, key=lambda i: str(i.name))]
    down: list[ops.MigrateOperation] = [ops.DropTableOp.from_table(table) for table in reversed(tables)]
    return _rendered(ops.UpgradeOps(ops=up)), _rendered(ops.DowngradeOps(ops=down))


def _rendered(operations: ops.UpgradeOps | ops.DowngradeOps) -> str:
    code = str(render_python_code(operations))
    lines = [text.strip() for text in code.splitlines() if not text.lstrip().startswith("#")]
    return "\n".join(("    " if text.startswith(("op.", ")")) else "        ") + text for text in lines)


def _place(directory: Path | None) -> _Place:
    if directory is None and Path("alembic.ini").is_file():
        return _in_environment("alembic.ini", lambda: ScriptDirectory.from_config(Config("alembic.ini")))
    for folder in _candidates(directory):
        if (folder / "env.py").is_file():
            return _in_environment(str(folder), lambda: ScriptDirectory(str(folder)))  # noqa: B023 - called at once
    if directory is None:
        raise ConfigurationError(
            "no alembic.ini, ./alembic or ./migrations here; name a folder with --directory, any folder will do"
        )
    return _Place(directory, None)


def _candidates(directory: Path | None) -> tuple[Path, ...]:
    if directory is None:
        return Path("alembic"), Path("migrations")
    return (directory.parent,) if directory.name == "versions" else (directory,)


def _in_environment(name: str, opened: Callable[[], ScriptDirectory]) -> _Place:
    try:
        scripts = opened()
        heads = scripts.get_heads()
        folder = Path(scripts.versions)
    except Exception as error:
        # The revisions are the user's modules: they can raise anything.
        raise ConfigurationError(f"Alembic cannot read {name}: {error}") from error
    if len(heads) > 1:
        raise ConfigurationError(f"{name} has several heads ({', '.join(heads)}): merge them first")
    folder.mkdir(exist_ok=True)
    return _Place(folder, heads[0] if heads else None)
