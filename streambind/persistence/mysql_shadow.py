"""MySQL's way to let the rows of one table take the place of another's in one transaction.

RENAME TABLE swaps names at once, but commits: what was looked at before may have changed until it runs, and who
held the table still may have been killed meanwhile. So the rows are exchanged, in the transaction that compares
them. The table itself stays, with its constraints and grants; only rows that differ are written.
"""

from __future__ import annotations

from sqlalchemy import Connection, String, inspect, text

from streambind.persistence.shadow_table import Disturbed, ShadowTable, quoted_name


class MySQLShadow(ShadowTable):
    """Every DDL statement commits: the table that keeps the old rows is made before the swap's transaction, and
    the shadow is dropped after it."""

    def obstacles(self, connection: Connection) -> list[str]:
        of = {"schema": self._table.schema, "name": self._table.name}
        return [told for query, told in _OBSTACLES if connection.scalar(query, of)]

    def make(self, connection: Connection) -> None:
        self._make_like(connection, self.name)

    def drop(self, connection: Connection) -> bool:
        if not self.is_replaced(connection):
            self._drop(connection, self.kept_name)
        return super().drop(connection)

    def make_room(self, connection: Connection) -> None:
        self._make_like(connection, self.kept_name)

    def lock(self, connection: Connection) -> None:
        # Only from the rows that are there: `swap` sees whether others came.
        here = self._quoted(connection, self._table.name)
        connection.exec_driver_sql(f"SELECT COUNT(*) FROM {here} FOR UPDATE")

    def swap(self, connection: Connection, *, rows: int) -> None:
        here, shadow, kept = (
            self._quoted(connection, name) for name in (self._table.name, self.name, self.kept_name)
        )
        stored = self._stored_columns(connection)
        names = ", ".join(name for name, _ in stored)
        key = [quoted_name(connection, column.name) for column in self._table.primary_key]
        is_same_key = " AND ".join(f"n.{name} = {here}.{name}" for name in key)
        is_same = " AND ".join(
            _is_same(f"n.{name}", f"{here}.{name}", is_text=is_text) for name, is_text in stored
        )

        def run(statement: str) -> int:
            return connection.exec_driver_sql(statement).rowcount

        if run(f"INSERT INTO {kept} ({names}) SELECT {names} FROM {here}") != rows:
            raise Disturbed
        deleted = run(
            f"DELETE FROM {here} WHERE NOT EXISTS (SELECT 1 FROM {shadow} n WHERE {is_same_key} AND {is_same})"
        )
        left = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {here}").scalar_one()
        if deleted + left != rows:
            raise Disturbed
        run(
            f"INSERT INTO {here} ({names}) SELECT {names} FROM {shadow} n "
            f"WHERE NOT EXISTS (SELECT 1 FROM {here} WHERE {is_same_key})"
        )

    def settle(self, connection: Connection, *, swapped: bool) -> None:
        self._drop(connection, self.name if swapped else self.kept_name)

    def is_replaced(self, connection: Connection) -> bool:
        # The table that keeps the rows is made before the transaction of the swap, in which it gets them.
        return super().is_replaced(connection) and (self._keeps_rows(connection) or not self.is_made(connection))

    def _keeps_rows(self, connection: Connection) -> bool:
        kept = self._quoted(connection, self.kept_name)
        return connection.exec_driver_sql(f"SELECT 1 FROM {kept} LIMIT 1").first() is not None

    def _make_like(self, connection: Connection, name: str) -> None:
        """An empty table like this one, without its foreign keys. This commits."""
        here, there = self._quoted(connection, self._table.name), self._quoted(connection, name)
        connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {there} LIKE {here}")

    def _stored_columns(self, connection: Connection) -> list[tuple[str, bool]]:
        """The columns that the database does not compute, as they are in it: name, and whether it is text."""
        columns = inspect(connection).get_columns(self._table.name, schema=self._table.schema)
        return [
            (quoted_name(connection, column["name"]), isinstance(column["type"], String))
            for column in columns
            if "computed" not in column
        ]


def _is_same(one: str, other: str, *, is_text: bool) -> str:
    # Collations take other texts for equal: those in capitals, or with spaces at the end.
    return f"CAST({one} AS BINARY) <=> CAST({other} AS BINARY)" if is_text else f"{one} <=> {other}"


_HERE = "COALESCE(:schema, DATABASE())"
_OBSTACLES = [
    (
        text(
            "SELECT 1 FROM information_schema.key_column_usage "
            f"WHERE referenced_table_schema = {_HERE} AND referenced_table_name = :name LIMIT 1"
        ),
        "tables refer to it",
    ),
    (
        text(
            "SELECT 1 FROM information_schema.triggers "
            f"WHERE event_object_schema = {_HERE} AND event_object_table = :name LIMIT 1"
        ),
        "it has triggers",
    ),
    (
        text(
            "SELECT 1 FROM information_schema.tables "
            f"WHERE table_schema = {_HERE} AND table_name = :name AND engine <> 'InnoDB'"
        ),
        "it is not InnoDB's, and has no transactions",
    ),
]
