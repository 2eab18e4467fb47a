"""A replica as a command sees it: what it makes of messages, and where its rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from sqlalchemy import Column, Table

from streambind.errors import ConfigurationError
from streambind.inbound.arrival import Arrival
from streambind.inbound.decoding import PayloadDecoder
from streambind.inbound.limits import Limits
from streambind.inbound.plan import condition_of
from streambind.inbound.replica_events import ReplicaEvents
from streambind.inbound.replica_plan import ReplicaPlan, Row
from streambind.inbound.replica_rows import ReplicaRows
from streambind.persistence.database import Database


@dataclass(frozen=True)
class Replica:
    """One `@replicates`, with what its binding says. `trusts`: numbers are believed (`consumer.sequence`)."""

    plan: ReplicaPlan
    binding: str
    group: str
    destinations: tuple[str, ...]
    content_type: str
    time_zone: tzinfo
    limits: Limits
    trusts: bool = True

    @property
    def name(self) -> str:
        return self.plan.mark.declared_on.__name__

    @property
    def owns_all(self) -> bool:
        """Whether its events alone make the rows."""
        filled = {column.name for column in self.plan.columns}
        return all(column.name in filled or column.computed is not None for column in self.plan.table.c)

    def reader(self) -> ReplicaReader:
        """
        Raises:
            ConfigurationError: there is no way from the binding's content type to its event.
        """
        return ReplicaReader(self)


def onto(plan: ReplicaPlan, table: Table) -> ReplicaPlan:
    """The same replica, in another table that has its columns."""

    def there(columns: Sequence[Column[object]]) -> tuple[Column[object], ...]:
        return tuple(table.c[column.name] for column in columns)

    return replace(
        plan, table=table, key=there(plan.key), columns=there(plan.columns), cleared=there(plan.cleared)
    )


class ReplicaReader:
    """What the replica makes of messages."""

    def __init__(self, replica: Replica) -> None:
        plan = replica.plan
        decoder = PayloadDecoder(
            plan.mark.event,
            content_type=replica.content_type,
            time_zone=replica.time_zone,
            limits=replica.limits,
        )
        mistakes: list[str] = []
        self._matches = condition_of(plan.mark.condition, mistakes.append)
        if mistakes:
            raise ConfigurationError(mistakes[0])
        self._events = ReplicaEvents(plan, decoder, shared=False)

    def concerns(self, arrival: Arrival) -> bool:
        return self._matches is None or self._matches(arrival)

    def read(self, arrival: Arrival) -> tuple[Row, Row | None]:
        """A row's key, and the row; None if it is deleted.

        Raises:
            MessageFailed: it cannot be read.
        """
        return self._events.read(arrival)

    def writer(self, plan: ReplicaPlan, database: Database) -> ReplicaRows:
        """Writes what messages say to the plan's table."""
        return ReplicaRows(plan, self._events, database.dialect.row_statements())
