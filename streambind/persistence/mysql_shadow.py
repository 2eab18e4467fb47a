"""MySQL's way to let the rows of one table take the place of another's in one transaction.

RENAME TABLE swaps names at once, but commits: what was looked at before may have changed until it runs, and who
held the table still may have been killed meanwhile. So the rows are exchanged, in the transaction that compares
them. The table itself stays, with its constraints and grants; only rows that differ are written.
"""

from __future__ import annotations

from sqlalchemy import Connection, String, Table, inspect, text


class Disturbed(Exception):
    """Somebody else wrote to the table while its rows were exchanged."""


def obstacles(connection: Connection, table: Table) -> list[str]:
    """Why the rows of this table cannot be exchanged."""
    of = {"schema": table.schema, "name": table.name}
    return [told for query, told in _OBSTACLES if connection.scalar(query, of)]


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


def make_like(connection: Connection, here: str, there: str) -> None:
    """An empty table like the one that is here, without its foreign keys. This commits."""
    connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {there} LIKE {here}")


def lock(connection: Connection, here: str) -> None:
    """Keep others from the rows that are there, until the transaction ends."""
    connection.exec_driver_sql(f"SELECT COUNT(*) FROM {here} FOR UPDATE")


def exchange(connection: Connection, table: Table, here: str, shadow: str, kept: str, *, rows: int) -> None:
    """Let the table hold the rows of `shadow`, and `kept` the `rows` that it held, which must be locked.

    Raises:
        Disturbed: rows came meanwhile.
    """
    quote = connection.dialect.identifier_preparer.quote
    stored = [
        (quote(column["name"]), isinstance(column["type"], String))
        for column in inspect(connection).get_columns(table.name, schema=table.schema)
        if "computed" not in column
    ]
    names = ", ".join(name for name, _ in stored)
    is_same_key = " AND ".join(f"n.{quote(key.name)} = {here}.{quote(key.name)}" for key in table.primary_key)
    is_same = " AND ".join(_is_same(f"n.{name}", f"{here}.{name}", is_text=is_text) for name, is_text in stored)

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


def _is_same(one: str, other: str, *, is_text: bool) -> str:
    # Collations take other texts for equal: those in capitals, or with spaces at the end.
    return f"CAST({one} AS BINARY) <=> CAST({other} AS BINARY)" if is_text else f"{one} <=> {other}"
