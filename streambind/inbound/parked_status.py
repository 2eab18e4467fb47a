"""What is parked, and for how long: for health, the command line and tests that wait for the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from streambind.inbound.parked_keys import ParkedState
from streambind.persistence.database import Database


@dataclass(frozen=True, slots=True)
class ParkedStatus:
    """What a group has parked of a destination. `keys` are tried again (`gaps` of them wait for a predecessor),
    `dead` ones are not; `messages` wait behind all of them; `oldest_ms`: how long the first has been parked."""

    keys: int = 0
    gaps: int = 0
    dead: int = 0
    messages: int = 0
    oldest_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self.keys or self.dead)

    @staticmethod
    def total(parts: Iterable[ParkedStatus]) -> ParkedStatus:
        """All of them as one."""
        parts = list(parts)
        return ParkedStatus(
            keys=sum(part.keys for part in parts),
            gaps=sum(part.gaps for part in parts),
            dead=sum(part.dead for part in parts),
            messages=sum(part.messages for part in parts),
            oldest_ms=max((part.oldest_ms for part in parts if part.oldest_ms is not None), default=None),
        )


@dataclass(frozen=True, slots=True)
class ParkedReason:
    """One parked key, and what it failed for last."""

    group: str
    destination: str
    key: bytes
    state: str
    messages: int
    error: str


def parked_reasons(database: Database, *, limit: int) -> list[ParkedReason]:
    """The keys that have been parked for the longest time, dead ones first.

    Raises:
        SQLAlchemyError: the database is away, or the tables are missing.
    """
    columns = database.tables.parked_key.c
    alive = (columns.state != ParkedState.DEAD).label("alive")
    query = select(database.tables.parked_key, alive).order_by(alive, columns.since_ms).limit(limit)

    def work(connection: Connection) -> list[ParkedReason]:
        return [
            ParkedReason(
                group=row.group_name,
                destination=row.destination,
                key=row.key,
                state=row.state,
                messages=row.messages,
                error=f"{row.error_class}: {row.error_text}",
            )
            for row in connection.execute(query)
        ]

    return database.run(work)


def parked_status(database: Database) -> Mapping[tuple[str, str], ParkedStatus]:
    """By group and destination; where nothing is parked, there is no entry. One statement.

    Raises:
        SQLAlchemyError: the database is away, or the tables are missing.
    """
    columns = database.tables.parked_key.c
    query = select(
        columns.group_name,
        columns.destination,
        columns.state,
        func.count().label("keys"),
        func.sum(columns.messages).label("messages"),
        (database.dialect.now_ms - func.min(columns.since_ms)).label("oldest_ms"),
    ).group_by(columns.group_name, columns.destination, columns.state)

    def work(connection: Connection) -> dict[tuple[str, str], ParkedStatus]:
        found: dict[tuple[str, str], ParkedStatus] = {}
        for row in connection.execute(query):
            part = ParkedStatus(
                keys=0 if row.state == ParkedState.DEAD else row.keys,
                gaps=row.keys if row.state == ParkedState.GAP else 0,
                dead=row.keys if row.state == ParkedState.DEAD else 0,
                messages=int(row.messages),
                oldest_ms=max(0, int(row.oldest_ms)),
            )
            where = (row.group_name, row.destination)
            found[where] = ParkedStatus.total([part, *([found[where]] if where in found else [])])
        return found

    return database.run(work)
