"""A second table of the same shape as a service's own, which takes its place in one transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sqlalchemy import Connection, Table, inspect

from streambind.persistence.cut_names import cut_name

_LIMIT = 50


class Disturbed(Exception):
    """Somebody else wrote to the table while another one took its place."""


class ShadowTable(ABC):
    """The shadow of `table` in one kind of database: a table of another name beside it. It is there from `make`
    until it is dropped or swapped, the replaced one from `swap` until it is dropped: what is there says how far
    the replacement is, so that no state is kept here."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.name = f"sb_new_{cut_name(table.name, _LIMIT)}"
        """Of the table that is being made."""
        self.kept_name = f"sb_old_{cut_name(table.name, _LIMIT)}"
        """Of the table that another one has replaced."""

    @abstractmethod
    def obstacles(self, connection: Connection) -> list[str]:
        """Why no other table can take the place of this one."""

    @abstractmethod
    def make(self, connection: Connection) -> None:
        """Make an empty table with columns, defaults, constraints and indexes of this one, as they are in the
        database."""

    def is_made(self, connection: Connection) -> bool:
        """Whether the shadow is there."""
        return self._exists(connection, self.name)

    def is_like_table(self, connection: Connection) -> bool:
        """Whether the shadow, which is there, has the columns that the table has by now."""
        return self._columns(connection, self.name) == self._columns(connection, self._table.name)

    def drop(self, connection: Connection) -> bool:
        """Drop the shadow, unless its rows are the table's already; False if there is none."""
        return self._drop(connection, self.name)

    def make_room(self, connection: Connection) -> None:
        """Make what must be there before the transaction of the swap, because it cannot be made in it. By default
        nothing."""
        return

    def lock(self, connection: Connection) -> None:
        """Keep everybody from the table until the transaction ends; wait for those who use it, 5 seconds at most.
        By default any transaction does."""
        return

    def swap(self, connection: Connection, *, rows: int) -> None:
        """Let the shadow take the table's name, owner and grants, and keep the table under another name. The table
        has been locked, and has had so many `rows` since. By default the names are swapped.

        Raises:
            IntegrityError: rows violate a constraint that is held against them only at the end of a transaction.
            Disturbed: somebody else wrote to the table meanwhile. The transaction must be rolled back; try again.
        """
        for before, after in ((self._table.name, self.kept_name), (self.name, self._table.name)):
            connection.exec_driver_sql(
                f"ALTER TABLE {self._quoted(connection, before)} RENAME TO {quoted_name(connection, after)}"
            )

    def settle(self, connection: Connection, *, swapped: bool) -> None:
        """Drop what the swap needed, once its transaction has ended. By default nothing."""
        return

    def is_replaced(self, connection: Connection) -> bool:
        """Whether the table has been replaced, and its old rows are kept."""
        return self._exists(connection, self.kept_name)

    def drop_kept(self, connection: Connection) -> bool:
        """Drop what was replaced; False if nothing was."""
        if not self.is_replaced(connection):
            return False
        self.settle(connection, swapped=True)
        return self._drop(connection, self.kept_name)

    def _exists(self, connection: Connection, name: str) -> bool:
        return inspect(connection).has_table(name, schema=self._table.schema)

    def _columns(self, connection: Connection, name: str) -> dict[str, str]:
        columns = inspect(connection).get_columns(name, schema=self._table.schema)
        return {column["name"]: repr(column["type"]) for column in columns}

    def _drop(self, connection: Connection, name: str) -> bool:
        if not self._exists(connection, name):
            return False
        connection.exec_driver_sql(f"DROP TABLE {self._quoted(connection, name)}")
        return True

    def _quoted(self, connection: Connection, name: str) -> str:
        """The name of a table where `table` is, quoted."""
        schema = "" if self._table.schema is None else f"{quoted_name(connection, self._table.schema)}."
        return f"{schema}{quoted_name(connection, name)}"


def quoted_name(connection: Connection, name: str) -> str:
    """The name as statements write it."""
    return connection.dialect.identifier_preparer.quote(name)
