"""PostgreSQL's statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    LargeBinary,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ColumnElement

from streambind.errors import SchemaError
from streambind.persistence.copied_columns import copied_columns
from streambind.persistence.dialect import MAX_LOCK_WAIT_MS
from streambind.persistence.on_conflict import OnConflictDialect
from streambind.persistence.postgres_columns import array_of, fits
from streambind.persistence.postgres_rows import PostgresRows
from streambind.persistence.postgres_shadow import PostgresShadow
from streambind.persistence.row_statements import RowStatements

_LIMIT_WAITS = """
SELECT set_config('idle_in_transaction_session_timeout', '{idle_ms}', true),
    set_config('lock_timeout', CASE WHEN allowed_ms > 0 THEN least({lock_ms}, ceil(allowed_ms * 0.8))::int::text
        ELSE '{lock_ms}' END, true)
FROM (SELECT extract(epoch FROM current_setting('statement_timeout')::interval) * 1000 AS allowed_ms) AS statements
"""

# Those beside the idle limit make the planner walk along the ids: it plans for the outbox as it last saw it,
# mostly empty, and keeps plans of prepared statements; a sudden backlog would be sorted as a whole for every read.
_BEGIN_RELAY = """
SELECT set_config('idle_in_transaction_session_timeout', '{idle_ms}', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)
"""


_SEQUENCE = text(
    "SELECT seqrelid::regclass::text AS name, seqcache FROM pg_catalog.pg_sequence "
    "WHERE seqrelid = pg_get_serial_sequence(:table, :column)::regclass"
)


class PostgreSQL(OnConflictDialect):
    """Settings last as long as the transaction that makes them."""

    name = "postgresql"
    # clock_timestamp(), not now(): now() stands still for the length of a transaction.
    now_ms = literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", BigInteger)
    notifies = True
    numbers_transactions = True
    shadow_of = PostgresShadow

    def limit_waits(self, connection: Connection, timeout_ms: int) -> None:
        statement = _LIMIT_WAITS.format(idle_ms=timeout_ms, lock_ms=min(timeout_ms, MAX_LOCK_WAIT_MS))
        connection.exec_driver_sql(statement)

    def rewritten(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        return self.updating(query, tables)

    def updating(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        # Rows that refer to these may be written meanwhile.
        return query.with_for_update(key_share=True, of=list(tables))

    def give_way(self, connection: Connection) -> None:
        # Less than deadlock_timeout, after which the server picks one of them.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '400ms'")

    def begin_relay(self, connection: Connection, idle_limit_ms: int) -> None:
        connection.exec_driver_sql(_BEGIN_RELAY.format(idle_ms=idle_limit_ms))

    @contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        # CREATE TABLE IF NOT EXISTS is not safe against a second creator; an advisory lock is.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7366140215)")
        yield

    def refuse_settings(self, connection: Connection, table: Table) -> None:
        name = connection.dialect.identifier_preparer.format_table(table)
        for column in table.primary_key:
            found = connection.execute(_SEQUENCE, {"table": name, "column": column.name}).first()
            if found is not None and found.seqcache > 1:
                raise SchemaError(
                    f"the ids of {name} are handed out {found.seqcache} numbers at a time to each connection, so "
                    f"that events of a key would be sent in a wrong order: ALTER SEQUENCE {found.name} CACHE 1"
                )

    def one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        if not fits(column):
            return super().one_of(column, name)
        # One parameter instead of hundreds: parsed and planned in a quarter of the time.
        return column == any_(bindparam(name, type_=array_of(column.type)))

    def none_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        # Of a subquery it makes a hash table; with <> ALL each row would be compared with each value.
        return column.not_in(select(func.unnest(bindparam(name, type_=array_of(column.type)))))

    def id_as_sent(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.convert_to(cast(column, Text), "UTF8", type_=LargeBinary)

    def row_statements(self) -> RowStatements:
        return PostgresRows(self.upsert, super().row_statements())

    def create_beside(self, connection: Connection, table: Table, origin: Table) -> None:
        copied = copied_columns(connection, table, origin)
        added = ", ".join(f"ADD {definition}" for definition in copied.definitions)
        connection.exec_driver_sql(f"CREATE TABLE {copied.table} AS {copied.query} WITH NO DATA")
        connection.exec_driver_sql(f"ALTER TABLE {copied.table} {added}")

    def insert(self, table: Table) -> Any:
        return postgresql.insert(table)
