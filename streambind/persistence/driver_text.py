"""A statement as an engine's driver takes it: for what runs so often that the work of SQLAlchemy on it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, text


class DriverText:
    """SQL with parameters as `:name`, translated once for a dialect. With `text()`, all parameters would be looked
    over at each execution. Values go to the driver as they are."""

    def __init__(self, sql: str, dialect: Dialect) -> None:
        compiled: Any = text(sql).compile(dialect=dialect)
        self._sql: str = compiled.string
        self._order: list[str] | None = compiled.positiontup

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each of these sets of parameters; rows that it returns are not looked at."""
        given: Any = rows
        if self._order is not None:
            given = [tuple([row[name] for name in self._order]) for row in rows]
        connection.exec_driver_sql(self._sql, given[0] if len(given) == 1 else given)
