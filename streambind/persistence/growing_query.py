"""A query on a table that grows while the process runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, text


class GrowingQuery:
    """The query, in another text each time as many rows were added as there were before.

    PostgreSQL keeps the plan of a prepared statement until the table is analyzed, for a minute or longer. Made
    when there were few rows, it reads the whole table, which may have a million by then; another text has a plan
    of its own. Thread-safe.
    """

    def __init__(self, query: Select[Any]) -> None:
        self._query = query
        self._added = 0
        self._texts: dict[int, Select[Any]] = {}

    def grew(self, rows: int) -> None:
        """So many rows were added; it need not be exact."""
        self._added += rows

    def now(self) -> Select[Any]:
        """The query to execute."""
        size = self._added.bit_length()
        if size not in self._texts:
            self._texts[size] = self._query.prefix_with(text(f"/* {size} */"))
        return self._texts[size]
