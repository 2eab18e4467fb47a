"""What differs between databases: their clock, how rows are locked, how a row is inserted that may exist, how long
a transaction may stand still, how a table is made or replaced.

The seam for further databases: one `Dialect` each, found by SQLAlchemy's dialect name in `dialects`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

from sqlalchemy import Column, Connection, Engine, Select, Table, Text, bindparam, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from streambind.persistence.executed_many import ExecutedMany
from streambind.persistence.row_statements import RowStatements
from streambind.persistence.shadow_table import ShadowTable

Row = Mapping[str, Any]

MAX_LOCK_WAIT_MS = 30_000
"""After which whoever waits for a lock says so, and tries again."""

_PARAMETERS = 30_000
"""Values per statement: SQLite takes 32 766, PostgreSQL's protocol 65 535."""


class Dialect(ABC):
    """The statements of one kind of database. Without state: one serves all databases of its kind."""

    name: ClassVar[str]
    now_ms: ColumnElement[int]
    """The database's clock; it moves within a transaction."""
    creates_tables: ClassVar[bool] = False
    """Whether streambind's tables are made unasked: where the database is the service's own file."""
    notifies: ClassVar[bool] = False
    """Whether it has NOTIFY."""
    numbers_transactions: ClassVar[bool] = False
    """Whether it tells which transactions are open, by numbers that grow."""
    shadow_of: ClassVar[type[ShadowTable]]
    """How another table takes the place of a service's own."""

    def prepare(self, engine: Engine) -> None:
        """To be called once for each engine, before it is used. By default nothing is needed.

        Raises:
            ConfigurationError: the engine cannot be used.
        """
        return

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """A transaction of streambind's own on a connection that has none yet: commits at the end, rolls back when
        something is raised."""
        with connection.begin():
            yield

    def locked(self, query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
        """The query, its rows locked until the transaction ends, or left out where others hold them."""
        return query.with_for_update(skip_locked=skip_locked)

    def first_free(self, connection: Connection, query: Select[Any], table: Table) -> Any:
        """The first row of a query on the table that nobody else has locked, now locked until the end of the
        transaction; None if there is none."""
        return connection.execute(self.locked(query.limit(1), skip_locked=True)).first()

    def rewritten(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        """The query, which reads rows of these tables to send them again, locked as an UPDATE would lock them."""
        return query.with_for_update()

    def updating(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        """The query, which reads rows of these tables as they are, locked as an UPDATE would lock them."""
        return self.locked(query)

    def by_key(self, query: Select[Any], tables: Sequence[Table]) -> Select[Any]:
        """The query, which asks for rows of these tables by their primary keys, so that it locks no others. By
        default none does."""
        return query

    def give_way(self, connection: Connection) -> None:
        """Let this transaction wait for locks only so short that, where it and a writer wait for each other, it is
        the one that gives up. By default the database decides."""
        return

    def latest(self, query: Select[Any]) -> Select[Any]:
        """The query, so that it finds rows that this transaction has locked as they are, not as they were when the
        transaction began to read. By default any query does."""
        return query

    def limit_waits(self, connection: Connection, timeout_ms: int) -> None:
        """Where the database can, let it end the transaction if the process stands still in it for so long, and
        let none of its statements wait longer for a lock, at most 30 s; and shorter than a statement may take, so
        that a lock that others hold is not mistaken for a statement that is too slow."""
        return

    def begin_relay(self, connection: Connection, idle_limit_ms: int) -> None:
        """What every transaction of a relay begins with: where the database can, let it end the transaction if the
        process stands still in it for so long (stopped, or its host gone), for its row locks would hold up every
        other relay."""
        return

    def creating(self, connection: Connection) -> AbstractContextManager[None]:
        """Keeps others from creating tables at the same time. By default the database does."""
        return nullcontext()

    def refuse_settings(self, connection: Connection, table: Table) -> None:
        """See that a table's ids are handed out in the order in which they are asked for, and that values are kept
        whole or refused. By default it is so.

        Raises:
            SchemaError: it is not; the text says what to do.
        """
        return

    def one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Whether `column` is one of the values in the parameter `name`."""
        return column.in_(bindparam(name, expanding=True))

    def none_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Whether `column` is none of the values in the parameter `name`, at least one."""
        return column.not_in(bindparam(name, expanding=True))

    def id_as_sent(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """A UUID as text, or as the bytes of its text where that is quicker and each is sure to be one. A mistyped
        id of one row must not make the read of all rows fail: by default the column's own text."""
        return type_coerce(column, Text)

    def exact(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """The value, so that what is equal is the same: by default anything is."""
        return value

    def row_statements(self) -> RowStatements:
        """Statements that write many rows of a table. By default each is executed for every row."""
        return ExecutedMany(self.upsert)

    @abstractmethod
    def create_beside(self, connection: Connection, table: Table, origin: Table) -> None:
        """Create `table`, empty. Columns that `origin` has too get the types, lengths and collations that they
        have there in the database, whatever a service's code says of them: values are kept alike, and can be
        compared."""

    @abstractmethod
    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Insert the rows whose primary key is not there yet; returns those of `rows` that were inserted. Of each
        primary key there may be one. Whoever inserts the same key at the same time is waited for."""

    @abstractmethod
    def add(self, connection: Connection, table: Table, rows: Sequence[Row], column: str) -> list[Any]:
        """Insert the rows; where the primary key exists, add the new row's `column` to the stored one, and take
        over its other columns. Returns the rows as they are stored now, locked until the transaction ends. Rows
        must be sorted by primary key: then two transactions cannot deadlock."""

    @abstractmethod
    def upsert(self, table: Table, key: Sequence[Column[Any]], columns: Sequence[Column[Any]]) -> Any:
        """An INSERT that replaces `columns` of the row with the same `key`, which is unique, if there is one; what
        else there is in that row stays, unless its column is one that changes with every update (`onupdate`)."""


def touched(table: Table) -> dict[str, Any]:
    """What an update sets the columns to that no statement names, but that change with every update."""
    return {column.key: _touch(column) for column in table.c if column.onupdate is not None}


def _touch(column: Column[Any]) -> Any:
    change: Any = column.onupdate
    if change.is_callable:
        return bindparam(f"touched_{column.key}", callable_=lambda: change.arg(None), type_=column.type)
    return change.arg


def chunks(table: Table, rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows, as many at a time as one statement takes."""
    size = _PARAMETERS // len(table.c)
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def primary_key_of(table: Table, row: Row) -> tuple[Any, ...]:
    """The values of a row's primary key."""
    return tuple(row[column.name] for column in table.primary_key)
