"""A statement as an engine's driver takes it: for what runs so often that the work of SQLAlchemy on it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Dialect, text


class DriverText:
    """SQL with parameters as `:name`, translated once for a dialect. With `text()`, all parameters would be looked
    over at each execution. Values go to the driver as they are."""

    def __init__(self, sql: str, dialect: Dialect) -> None:
        compiled: Any = text(sql).compile(dialect=dialect)
        self._sql: str = compiled.string
        self._order: list[str] | None = compiled.positiontup

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Execute it; rows that it returns are not looked at."""
        given: Any = values if self._order is None else tuple([values[name] for name in self._order])
        connection.exec_driver_sql(self._sql, given)
