"""A database of the services under test, as the chaos run looks at it: directly, past any proxy."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import create_engine, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from streambind.configuration.masking import shown_url
from streambind.inbound.parked_keys import ParkedState
from streambind.persistence.tables import Tables

_CONNECT_S = 5
_SYNCHRONOUS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "sqlite": "sqlite",
}


class Position(NamedTuple):
    """How far a group has come."""

    group: str
    destination: str
    partition: int
    next_offset: int


class ObservedDatabase:
    """streambind's tables in one database. What cannot be read, since the database is away or has no such tables
    yet, is None. Used from several threads."""

    def __init__(self, url: str, *, schema: str | None = None) -> None:
        parsed = make_url(url).set(drivername=_synchronous(url))
        waits = {} if parsed.get_backend_name() == "sqlite" else {"connect_timeout": _CONNECT_S}
        self.name = shown_url(parsed)
        self.tables = Tables(schema)
        self.engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=waits)

    def positions(self) -> list[Position] | None:
        columns = self.tables.position.c
        rows = select(columns.group_name, columns.destination, columns.partition, columns.next_offset)
        try:
            with self.engine.connect() as connection:
                return [Position(*row) for row in connection.execute(rows)]
        except SQLAlchemyError:
            return None

    def backlog(self) -> int | None:
        """How many messages wait in the outbox."""
        try:
            with self.engine.connect() as connection:
                return connection.scalar(select(func.count()).select_from(self.tables.outbox)) or 0
        except SQLAlchemyError:
            return None

    def parked(self) -> int | None:
        """How many keys are parked and will be tried again, or wait for a predecessor."""
        key = self.tables.parked_key
        waiting = select(func.count()).select_from(key).where(key.c.state != ParkedState.DEAD)
        try:
            with self.engine.connect() as connection:
                return connection.scalar(waiting) or 0
        except SQLAlchemyError:
            return None

    def close(self) -> None:
        self.engine.dispose()


def _synchronous(url: str) -> str:
    """The driver of the same database that needs no event loop."""
    name = make_url(url).get_backend_name()
    return _SYNCHRONOUS.get(name, make_url(url).drivername)
