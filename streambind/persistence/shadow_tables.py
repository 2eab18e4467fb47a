"""A second table of the same shape as a service's own, which takes its place in one transaction."""

from __future__ import annotations

import re
import uuid
from typing import TypeVar

from sqlalchemy import Connection, Table, inspect, text

from streambind.errors import ConfigurationError
from streambind.persistence.cut_names import cut_name

_LIMIT = 50


def shadow_name(table: Table) -> str:
    """The name of the table that is being made."""
    return f"sb_new_{cut_name(table.name, _LIMIT)}"


def kept_name(table: Table) -> str:
    """The name of the table that another one has replaced."""
    return f"sb_old_{cut_name(table.name, _LIMIT)}"


def exists(connection: Connection, table: Table, name: str) -> bool:
    """Whether there is a table of the name, where `table` is."""
    return inspect(connection).has_table(name, schema=table.schema)


def drop(connection: Connection, table: Table, name: str) -> None:
    """Drop a table that is where `table` is."""
    connection.exec_driver_sql(f"DROP TABLE {_quoted(connection, table, name)}")


def obstacles(connection: Connection, table: Table) -> list[str]:
    """Why no other table can take the place of this one."""
    return _is(connection, _postgres_obstacles, _sqlite_obstacles)(connection, table)


def make_shadow(connection: Connection, table: Table) -> None:
    """An empty table with columns, defaults, constraints and indexes of this one, as they are in the database."""
    _is(connection, _postgres_shadow, _sqlite_shadow)(connection, table)


def lock(connection: Connection, table: Table) -> None:
    """Keep everybody from the table until the transaction ends; wait for those who use it, 5 seconds at most."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql(f"LOCK TABLE {_quoted(connection, table, table.name)} IN ACCESS EXCLUSIVE MODE")


def swap(connection: Connection, table: Table) -> None:
    """Let the shadow take the table's name, owner and grants, and keep the table under another name.

    Raises:
        IntegrityError: rows violate a constraint that is held against them only at the end of a transaction.
    """
    if connection.dialect.name == "postgresql":
        # A table is not altered while constraints wait to be held against its rows.
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        _postgres_hand_over(connection, table)
    for before, after in ((table.name, kept_name(table)), (shadow_name(table), table.name)):
        here = _quoted(connection, table, before)
        connection.exec_driver_sql(f"ALTER TABLE {here} RENAME TO {_name(connection, after)}")


T = TypeVar("T")


def _is(connection: Connection, of_postgres: T, of_sqlite: T) -> T:
    match connection.dialect.name:
        case "postgresql":
            return of_postgres
        case "sqlite":
            return of_sqlite
        case other:
            raise ConfigurationError(
                f"a table of {other} cannot be swapped within a transaction: only PostgreSQL's and SQLite's can"
            )


def _quoted(connection: Connection, table: Table, name: str) -> str:
    schema = "" if table.schema is None else f"{_name(connection, table.schema)}."
    return f"{schema}{_name(connection, name)}"


def _name(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


# PostgreSQL


def _oid(connection: Connection, table: Table, name: str) -> int:
    query = text("SELECT CAST(to_regclass(:name) AS oid)")
    return int(connection.execute(query, {"name": _quoted(connection, table, name)}).scalar_one())


def _postgres_obstacles(connection: Connection, table: Table) -> list[str]:
    oid = _oid(connection, table, table.name)
    return [text for query, text in _POSTGRES_OBSTACLES if connection.scalar(query, {"oid": oid})]


_POSTGRES_OBSTACLES = [
    (
        text("SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = :oid AND conrelid <> :oid LIMIT 1"),
        "other tables refer to it",
    ),
    (text("SELECT 1 FROM pg_trigger WHERE tgrelid = :oid AND NOT tgisinternal LIMIT 1"), "it has triggers"),
    (
        text(
            "SELECT 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid WHERE d.refobjid = :oid "
            "AND d.classid = CAST('pg_rewrite' AS regclass) LIMIT 1"
        ),
        "views read it",
    ),
    (
        text("SELECT 1 FROM pg_class WHERE oid = :oid AND (relkind <> 'r' OR relrowsecurity OR relhassubclass)"),
        "it is partitioned, inherited from or has row security",
    ),
    (
        text("SELECT 1 FROM pg_publication_rel WHERE prrelid = :oid LIMIT 1"),
        "a publication of PostgreSQL sends it",
    ),
]


def _postgres_shadow(connection: Connection, table: Table) -> None:
    here, there = (_quoted(connection, table, name) for name in (table.name, shadow_name(table)))
    connection.exec_driver_sql(f"CREATE TABLE {there} (LIKE {here} INCLUDING ALL)")
    query = text(
        "SELECT pg_get_constraintdef(oid) AS definition, CAST(CAST(confrelid AS regclass) AS text) AS target, "
        "confrelid = conrelid AS is_to_itself FROM pg_constraint WHERE contype = 'f' AND conrelid = :oid"
    )
    for key in connection.execute(query, {"oid": _oid(connection, table, table.name)}).all():
        definition = str(key.definition)
        if key.is_to_itself:
            definition = definition.replace(f" REFERENCES {key.target}(", f" REFERENCES {there}(", 1)
        connection.exec_driver_sql(f"ALTER TABLE {there} ADD {definition}")


def _postgres_hand_over(connection: Connection, table: Table) -> None:
    """Owner, grants and sequences: else nobody else could use the new table, nor the old one be dropped."""
    oid = _oid(connection, table, table.name)
    there = _quoted(connection, table, shadow_name(table))
    owner = connection.execute(
        text("SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = :oid"), {"oid": oid}
    ).scalar_one()
    connection.exec_driver_sql(f"ALTER TABLE {there} OWNER TO {owner}")
    grants = text(
        "SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' "
        "ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.is_grantable "
        "FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = :oid"
    )
    for privilege, grantee, may_grant in connection.execute(grants, {"oid": oid}).all():
        option = " WITH GRANT OPTION" if may_grant else ""
        connection.exec_driver_sql(f"GRANT {privilege} ON {there} TO {grantee}{option}")
    sequences = text(
        "SELECT CAST(CAST(s.oid AS regclass) AS text), quote_ident(a.attname) FROM pg_depend d "
        "JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' "
        "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
        "WHERE d.refobjid = :oid AND d.deptype = 'a'"
    )
    for sequence, column in connection.execute(sequences, {"oid": oid}).all():
        connection.exec_driver_sql(f"ALTER SEQUENCE {sequence} OWNED BY {there}.{column}")


# SQLite


def _sqlite_obstacles(connection: Connection, table: Table) -> list[str]:
    rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
    word = re.compile(rf"\b{re.escape(table.name)}\b", re.IGNORECASE)
    found = []
    if any(row.type == "trigger" and word.search(row.sql or "") for row in rows):
        found.append("triggers concern it")
    if any(row.type == "view" and word.search(row.sql or "") for row in rows):
        found.append("views read it")
    for row in rows:
        if row.type == "table" and row.name != table.name:
            keys = connection.exec_driver_sql(f"PRAGMA foreign_key_list({_name(connection, row.name)})").all()
            if any(key[2].lower() == table.name.lower() for key in keys):
                found.append(f"table {row.name} refers to it")
    return found


def _sqlite_shadow(connection: Connection, table: Table) -> None:
    query = text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL")
    rows = connection.execute(query, {"name": table.name}).all()
    there = _name(connection, shadow_name(table))
    for row in sorted(rows, key=lambda row: row.type != "table"):
        if row.type == "table":
            made = _CREATE_TABLE.sub(rf"\g<1>{there}", row.sql, count=1)
            connection.exec_driver_sql(_references_to(table).sub(rf"\g<1>{there}", made))
        elif row.type == "index":
            # Names are unique in the database, and stay with the table that is kept.
            name = _name(connection, f"{row.name}_{uuid.uuid4().hex[:8]}")
            made = _CREATE_INDEX.sub(rf"\g<1>{name} ON {there}", row.sql, count=1)
            connection.exec_driver_sql(made)


def _references_to(table: Table) -> re.Pattern[str]:
    """A table's references to itself: of the shadow they mean the shadow."""
    name = re.escape(table.name)
    return re.compile(rf"(\bREFERENCES\s+)(?:\"{name}\"|\[{name}\]|`{name}`|{name}\b)", re.IGNORECASE)


_IDENTIFIER = r"(?:\"[^\"]+\"|\[[^\]]+\]|`[^`]+`|\w+)"
_CREATE_TABLE = re.compile(rf"^(\s*CREATE\s+TABLE\s+){_IDENTIFIER}", re.IGNORECASE)
_CREATE_INDEX = re.compile(
    rf"^(\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+){_IDENTIFIER}\s+ON\s+{_IDENTIFIER}", re.IGNORECASE
)
