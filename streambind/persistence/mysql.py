"""MySQL's and MariaDB's statements: InnoDB, without RETURNING, since MySQL has none.

Every transaction of streambind's own is READ COMMITTED, whatever the engine's level is. At the default, REPEATABLE
READ, a relay's reads and deletes would lock the gaps that writers insert into, a search for parked keys would keep
others from parking, and who lost a position would read the old one again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    String,
    Table,
    TypeDecorator,
    and_,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    null,
    select,
    tuple_,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, IntegrityError

from streambind.errors import SchemaError
from streambind.persistence.copied_columns import copied_columns
from streambind.persistence.dialect import MAX_LOCK_WAIT_MS, Dialect, Row, chunks, primary_key_of, touched
from streambind.persistence.failures import UNIQUE, state_of
from streambind.persistence.mysql_shadow import MySQLShadow

_LIMITED = "streambind.limited"
"""Under which a connection knows that settings of its session are not the ones that it came with."""

_LOCK_WAITS = ("innodb_lock_wait_timeout", "lock_wait_timeout")
_MARIADB_LIMITS = ("idle_transaction_timeout", "@@max_statement_time")
_MYSQL_LIMITS = ("wait_timeout", "@@max_execution_time / 1000")
"""What ends a connection that is silent in a transaction, MySQL's outside of one too; and how many seconds a
statement may take."""
_CREATORS_WAIT_S = 60
_CANDIDATES = 32
"""How many rows are tried that others may have locked."""


class MySQL(Dialect):
    """Settings last as long as the session: `transaction` puts them back."""

    name = "mysql"
    # Not UNIX_TIMESTAMP: it goes through the session's time zone, where an hour comes twice a year.
    now_ms = literal_column("(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)", BigInteger)
    shadow_of = MySQLShadow

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        try:
            with connection.begin():
                # For the next transaction alone, which the driver has not begun yet.
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                yield
        finally:
            _put_back(connection)

    def first_free(self, connection: Connection, query: Select[Any], table: Table) -> Any:
        # InnoDB locks whatever it sorts, and LIMIT takes no lock back: so it sorts without, and tries one by one.
        first = query.with_only_columns(*table.primary_key).limit(_CANDIDATES)
        for key in connection.execute(first).all():
            one = query.where(tuple_(*table.primary_key) == tuple_(*key)).order_by(None)
            row = connection.execute(self.locked(one, skip_locked=True)).first()
            if row is not None:
                return row
        return None

    def latest(self, query: Select[Any]) -> Select[Any]:
        # An application's own transaction may be REPEATABLE READ: a row that an UPDATE left as it was would be
        # read as it was when the transaction began, though others have changed it since.
        return self.locked(query)

    def by_key(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        # InnoDB locks whatever it looks at, and where the keys are many it would look at the whole table.
        for table in tables:
            query = query.with_hint(table, "FORCE INDEX (PRIMARY)")
        return query

    def rewritten(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        # The shortest time-out is a second, for which writers of what is locked already would have to wait too.
        return query.with_for_update(nowait=True)

    def limit_waits(self, connection: Connection, timeout_ms: int) -> None:
        # Shorter than a statement may take: who waited for a lock too long shall be told so.
        lock_s, (_, longest) = _seconds(min(timeout_ms, MAX_LOCK_WAIT_MS)), _limits(connection)
        lock_wait = f"CAST(IF({longest} > 0, LEAST({lock_s}, CEIL({longest} * 0.8)), {lock_s}) AS UNSIGNED)"
        _limit(connection, dict.fromkeys(_LOCK_WAITS, lock_wait) | _idle_limit(connection, timeout_ms))

    def begin_relay(self, connection: Connection, idle_limit_ms: int) -> None:
        _limit(connection, _idle_limit(connection, idle_limit_ms))

    @contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        # Every CREATE TABLE commits, so that no transaction holds others back; a named lock of the session does.
        name = "CONCAT('streambind.', COALESCE(DATABASE(), ''))"
        if connection.exec_driver_sql(f"SELECT GET_LOCK(LEFT({name}, 64), {_CREATORS_WAIT_S})").scalar() != 1:
            raise SchemaError("somebody else has been creating streambind's tables for a minute: try again")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SELECT RELEASE_LOCK(LEFT({name}, 64))")

    def refuse_settings(self, connection: Connection, table: Table) -> None:
        mode = str(connection.exec_driver_sql("SELECT @@SESSION.sql_mode").scalar())
        if not {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"} & set(mode.split(",")):
            raise SchemaError(
                f"sql_mode is {mode!r}: the database would cut values short instead of refusing them. Add "
                "STRICT_TRANS_TABLES to it, in the server's configuration or by the driver's init_command"
            )

    def exact(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        # Its ordinary collations know no case, no accents, and no blanks at the end.
        kind = value.type
        while isinstance(kind, TypeDecorator):
            kind = kind.impl_instance
        return cast(value, LargeBinary) if isinstance(kind, String) else value

    def create_beside(self, connection: Connection, table: Table, origin: Table) -> None:
        copied = copied_columns(connection, table, origin)
        definitions = ", ".join(copied.definitions)
        connection.exec_driver_sql(f"CREATE TABLE {copied.table} ({definitions}) {copied.query} LIMIT 0")

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[Row]:
        return [row for chunk in chunks(table, rows) for row in _insert_missing(connection, table, chunk)]

    def add(self, connection: Connection, table: Table, rows: Sequence[Row], column: str) -> list[Any]:
        statement = mysql.insert(table)
        statement = statement.on_duplicate_key_update(
            {
                each.name: table.c[column] + statement.inserted[column]
                if each.name == column
                else statement.inserted[each.name]
                for each in table.c
                if not each.primary_key
            }
        )
        # From MySQL 8.0.20 SQLAlchemy gives the new row a name, under which it has no column that was not given.
        nothing = dict.fromkeys(each.name for each in table.c if each.nullable)
        connection.execute(statement, [{**nothing, **row} for row in rows])
        stored: list[Any] = []
        for chunk in chunks(table, rows):
            stored.extend(connection.execute(_among(select(table), table, chunk)))
        return stored

    def upsert(self, table: Table, key: Sequence[Column[Any]], columns: Sequence[Column[Any]]) -> Any:
        statement = mysql.insert(table)
        new = statement.inserted
        # A duplicate in another unique key is somebody else's row: an error, as no column of a key may be NULL.
        changed: dict[str, Any] = {
            each.key: func.if_(and_(*(k.is_not_distinct_from(new[k.key]) for k in key)), each, null())
            for each in key
        }
        replaced = {each.key: new[each.key] for each in columns if each not in key}
        if replaced and (touching := touched(table)):
            changed |= touching
            # Drivers make one statement of many rows, and forget parameters behind VALUES. Not of an expression.
            statement = statement.values({key[0].key: func.coalesce(bindparam(key[0].key), bindparam(key[0].key))})
        return statement.on_duplicate_key_update(changed | replaced)


def _limit(connection: Connection, settings: dict[str, str]) -> None:
    """Change settings of the session until `_put_back`."""
    if not settings:
        return
    kept = connection.info.get(_LIMITED, ())
    new = [name for name in settings if name not in kept]
    changes = [f"@streambind_{name} = @@SESSION.{name}" for name in new]
    changes += [f"SESSION {name} = {value}" for name, value in settings.items()]
    connection.exec_driver_sql(f"SET {', '.join(changes)}")
    connection.info[_LIMITED] = (*kept, *new)


def _put_back(connection: Connection) -> None:
    """Never raises: what the transaction was about is decided, and who cannot be put back is given up."""
    if connection.invalidated or not (names := connection.info.pop(_LIMITED, ())):
        return
    try:
        connection.exec_driver_sql(f"SET {', '.join(f'SESSION {n} = @streambind_{n}' for n in names)}")
    except DBAPIError as error:
        if not connection.invalidated:
            connection.invalidate(error)


def _insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> list[Row]:
    before: set[tuple[Any, ...]] | None = None
    while True:
        query = _among(select(*table.primary_key), table, rows)
        known = {tuple(key) for key in connection.execute(query)}
        missing = [row for row in rows if primary_key_of(table, row) not in known]
        if not missing:
            return []
        try:
            # One statement, which is undone as a whole.
            connection.execute(insert(table).values(missing))
        except IntegrityError as error:
            # Somebody was faster: what he inserted can be seen now.
            if state_of(error) != UNIQUE or known == before:
                raise
            before = known
        else:
            return missing


def _among(query: Select[Any], table: Table, rows: Sequence[Row]) -> Select[Any]:
    """Those of the query whose primary key is that of one of the rows."""
    return query.where(tuple_(*table.primary_key).in_([primary_key_of(table, row) for row in rows]))


def _idle_limit(connection: Connection, limit_ms: int) -> dict[str, str]:
    return {_limits(connection)[0]: str(_seconds(limit_ms))}


def _limits(connection: Connection) -> tuple[str, str]:
    return _MARIADB_LIMITS if getattr(connection.dialect, "is_mariadb", False) else _MYSQL_LIMITS


def _seconds(milliseconds: int) -> int:
    return max(1, math.ceil(milliseconds / 1000))
