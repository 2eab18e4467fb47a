"""A second table of the same shape as a service's own, which takes its place in one transaction.

PostgreSQL and SQLite swap the names. MySQL commits at each DDL statement, so there the rows are exchanged: see
`mysql_shadow`.
"""

from __future__ import annotations

import re
import uuid
from typing import TypeVar

from sqlalchemy import Connection, Table, inspect, text

from streambind.persistence import mysql_shadow
from streambind.persistence.cut_names import cut_name

_LIMIT = 50


def shadow_name(table: Table) -> str:
    """The name of the table that is being made."""
    return f"sb_new_{cut_name(table.name, _LIMIT)}"


def kept_name(table: Table) -> str:
    """The name of the table that another one has replaced."""
    return f"sb_old_{cut_name(table.name, _LIMIT)}"


def is_made(connection: Connection, table: Table) -> bool:
    """Whether the shadow is there."""
    return _exists(connection, table, shadow_name(table))


def is_replaced(connection: Connection, table: Table) -> bool:
    """Whether the table has been replaced, and its old rows are kept."""
    if not _exists(connection, table, kept_name(table)):
        return False
    # On MySQL it is made before the transaction of the swap, in which it gets its rows.
    return _is_filled(connection, table, kept_name(table)) or not (
        _is_mysql(connection) and is_made(connection, table)
    )


def drop_shadow(connection: Connection, table: Table) -> bool:
    """Drop the shadow, unless its rows are the table's already; False if there is none."""
    if _is_mysql(connection) and not is_replaced(connection, table):
        _drop(connection, table, kept_name(table))
    return _drop(connection, table, shadow_name(table))


def drop_kept(connection: Connection, table: Table) -> bool:
    """Drop what was replaced; False if nothing was."""
    if not is_replaced(connection, table):
        return False
    settle(connection, table, swapped=True)
    return _drop(connection, table, kept_name(table))


def obstacles(connection: Connection, table: Table) -> list[str]:
    """Why no other table can take the place of this one."""
    return _is(connection, _postgres_obstacles, _sqlite_obstacles, mysql_shadow.obstacles)(connection, table)


def make_shadow(connection: Connection, table: Table) -> None:
    """An empty table with columns, defaults, constraints and indexes of this one, as they are in the database."""
    _is(connection, _postgres_shadow, _sqlite_shadow, _mysql_shadow)(connection, table)


def make_room(connection: Connection, table: Table) -> None:
    """What must be there before the transaction of the swap, because it cannot be made in it."""
    if _is_mysql(connection):
        mysql_shadow.make_like(connection, *_named(connection, table, table.name, kept_name(table)))


def lock(connection: Connection, table: Table) -> None:
    """Keep everybody from the table until the transaction ends; wait for those who use it, 5 seconds at most.
    On MySQL only from the rows that are there: `swap` sees whether others came."""
    (here,) = _named(connection, table, table.name)
    if _is_mysql(connection):
        mysql_shadow.lock(connection, here)
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql(f"LOCK TABLE {here} IN ACCESS EXCLUSIVE MODE")


def swap(connection: Connection, table: Table, *, rows: int) -> None:
    """Let the shadow take the table's name, owner and grants, and keep the table under another name. The table has
    been locked, and has had so many `rows` since.

    Raises:
        IntegrityError: rows violate a constraint that is held against them only at the end of a transaction.
        Disturbed: somebody else wrote to the table meanwhile. The transaction must be rolled back; try again.
    """
    if _is_mysql(connection):
        names = _named(connection, table, table.name, shadow_name(table), kept_name(table))
        return mysql_shadow.exchange(connection, table, *names, rows=rows)
    if connection.dialect.name == "postgresql":
        # A table is not altered while constraints wait to be held against its rows.
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        _postgres_hand_over(connection, table)
    for before, after in ((table.name, kept_name(table)), (shadow_name(table), table.name)):
        (here,) = _named(connection, table, before)
        connection.exec_driver_sql(f"ALTER TABLE {here} RENAME TO {_name(connection, after)}")
    return None


def settle(connection: Connection, table: Table, *, swapped: bool) -> None:
    """Drop what the swap needed, once its transaction has ended."""
    if _is_mysql(connection):
        _drop(connection, table, shadow_name(table) if swapped else kept_name(table))


T = TypeVar("T")


def _is(connection: Connection, of_postgres: T, of_sqlite: T, of_mysql: T) -> T:
    match connection.dialect.name:
        case "postgresql":
            return of_postgres
        case "sqlite":
            return of_sqlite
        case _:
            return of_mysql


def _is_mysql(connection: Connection) -> bool:
    return _is(connection, of_postgres=False, of_sqlite=False, of_mysql=True)


def _exists(connection: Connection, table: Table, name: str) -> bool:
    return inspect(connection).has_table(name, schema=table.schema)


def _is_filled(connection: Connection, table: Table, name: str) -> bool:
    (there,) = _named(connection, table, name)
    return connection.exec_driver_sql(f"SELECT 1 FROM {there} LIMIT 1").first() is not None


def _drop(connection: Connection, table: Table, name: str) -> bool:
    if not _exists(connection, table, name):
        return False
    (there,) = _named(connection, table, name)
    connection.exec_driver_sql(f"DROP TABLE {there}")
    return True


def _named(connection: Connection, table: Table, *names: str) -> tuple[str, ...]:
    """Names of tables where `table` is, quoted."""
    schema = "" if table.schema is None else f"{_name(connection, table.schema)}."
    return tuple(f"{schema}{_name(connection, name)}" for name in names)


def _name(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


# MySQL


def _mysql_shadow(connection: Connection, table: Table) -> None:
    mysql_shadow.make_like(connection, *_named(connection, table, table.name, shadow_name(table)))


# PostgreSQL


def _oid(connection: Connection, table: Table, name: str) -> int:
    query = text("SELECT CAST(to_regclass(:name) AS oid)")
    (there,) = _named(connection, table, name)
    return int(connection.execute(query, {"name": there}).scalar_one())


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
    here, there = _named(connection, table, table.name, shadow_name(table))
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
    (there,) = _named(connection, table, shadow_name(table))
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
