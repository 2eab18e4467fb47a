"""SQLite's shadow of a table: made from the statements that made the table and its indexes."""

from __future__ import annotations

import re
import uuid

from sqlalchemy import Connection, Table, text

from streambind.persistence.shadow_table import ShadowTable, quoted_name


class SQLiteShadow(ShadowTable):
    """The transaction holds the whole database."""

    def obstacles(self, connection: Connection) -> list[str]:
        name = self._table.name
        rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
        word = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
        found = []
        if any(row.type == "trigger" and word.search(row.sql or "") for row in rows):
            found.append("triggers concern it")
        if any(row.type == "view" and word.search(row.sql or "") for row in rows):
            found.append("views read it")
        for row in rows:
            if row.type == "table" and row.name != name:
                query = f"PRAGMA foreign_key_list({quoted_name(connection, row.name)})"
                if any(key[2].lower() == name.lower() for key in connection.exec_driver_sql(query)):
                    found.append(f"table {row.name} refers to it")
        return found

    def make(self, connection: Connection) -> None:
        query = text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL")
        rows = connection.execute(query, {"name": self._table.name}).all()
        there = quoted_name(connection, self.name)
        for row in sorted(rows, key=lambda row: row.type != "table"):
            if row.type == "table":
                made = _CREATE_TABLE.sub(rf"\g<1>{there}", row.sql, count=1)
                connection.exec_driver_sql(_references_to(self._table).sub(rf"\g<1>{there}", made))
            elif row.type == "index":
                # Names are unique in the database, and stay with the table that is kept.
                name = quoted_name(connection, f"{row.name}_{uuid.uuid4().hex[:8]}")
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
