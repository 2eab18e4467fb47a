"""What people did to parked messages and dead letters, remembered for as long as the service asks for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete

from streambind.persistence.database import Database


class History:
    """The rows of one group about these destinations."""

    def __init__(self, database: Database, group: str, destinations: Sequence[str], *, retention_ms: int) -> None:
        self._database = database
        self._group = group
        self._destinations = destinations
        self._retention_ms = retention_ms

    def purge(self) -> int:
        """Forget what is older than the retention; returns how many rows. A letter that is forgotten counts as
        untouched if its record is still there."""
        letter, audit = self._database.tables.letter, self._database.tables.audit
        limit_ms = self._database.dialect.now_ms - self._retention_ms

        def work(connection: Connection) -> int:
            return sum(
                connection.execute(
                    delete(table).where(
                        table.c.group_name == self._group,
                        destination.in_(self._destinations),
                        table.c.at_ms < limit_ms,
                    )
                ).rowcount
                for table, destination in ((letter, letter.c.from_destination), (audit, audit.c.destination))
            )

        return self._database.run(work)
