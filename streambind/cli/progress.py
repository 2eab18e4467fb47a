"""How far the groups are: what the brokers hold, and what the groups, or their database, say is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from streambind.cli.plan import PlannedBinding
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, ask_database
from streambind.errors import SchemaError
from streambind.persistence.database import Database

Positions = Mapping[tuple[str, str, int], int]
"""The stored next offset by group, destination and partition."""


@dataclass(frozen=True)
class Lane:
    """One partition. `committed` is the group's report to the broker, `stored` the position in the database; None:
    there is none, or it is not asked for."""

    destination: str
    partition: int
    start: int
    end: int
    committed: int | None = None
    stored: int | None = None
    by_database: bool = False

    @property
    def lag(self) -> int | None:
        """Messages to do; None if it cannot be known: the group has no position, or one beyond the end."""
        position = self.stored if self.by_database else self.committed
        if position is None:
            return 0 if self.end == self.start else None
        return self.end - max(position, self.start) if position <= self.end else None


@dataclass(frozen=True)
class Progress:
    """One binding. `missing` are destinations that do not exist."""

    binding: PlannedBinding
    lanes: tuple[Lane, ...]
    missing: tuple[str, ...] = ()
    by_database: bool = False

    @property
    def lag(self) -> int | None:
        """Messages to do in all partitions; None if it cannot be known of one, or for an output."""
        lags = [lane.lag for lane in self.lanes]
        known = [lag for lag in lags if lag is not None]
        if not self.binding.is_input or self.binding.group is None or not lags or len(known) < len(lags):
            return None
        return sum(known)


def measured(target: Target, bindings: Sequence[PlannedBinding]) -> list[Progress]:
    """Ask brokers and database.

    Raises:
        BrokerUnavailableError: a broker does not answer.
        DatabaseUnavailableError: the database does not answer.
    """
    stored = stored_positions(target, bindings)
    with target.brokers() as brokers:
        return [_measure(brokers, binding, stored) for binding in bindings]


def stored_positions(target: Target, bindings: Sequence[PlannedBinding]) -> Positions:
    """What the database holds for the inputs; nothing where none of them keeps positions in a database, or none
    has run yet."""
    if not any(binding.is_input and binding.positions is not False for binding in bindings):
        return {}
    database = target.database()
    try:
        return ask_database(database, lambda: _read(database))
    except SchemaError:
        return {}


def _read(database: Database) -> Positions:
    columns = database.tables.position.c
    statement = select(columns.group_name, columns.destination, columns.partition, columns.next_offset)

    def work(connection: Connection) -> Positions:
        rows = connection.execute(statement)
        return {(row.group_name, row.destination, row.partition): row.next_offset for row in rows}

    return database.run(work)


def _measure(brokers: Brokers, binding: PlannedBinding, stored: Positions) -> Progress:
    by_database = binding.positions or any(
        group == binding.group and destination in binding.destinations for group, destination, _ in stored
    )
    lanes: list[Lane] = []
    missing: list[str] = []
    for destination in () if binding.is_pattern else binding.destinations:
        found = _lanes(brokers, binding, destination, stored, bool(by_database))
        if found is None:
            missing.append(destination)
        else:
            lanes += found
    return Progress(binding, tuple(lanes), tuple(missing), bool(by_database))


def _lanes(
    brokers: Brokers, binding: PlannedBinding, destination: str, stored: Positions, by_database: bool
) -> list[Lane] | None:
    info = brokers.ask(binding.binder, lambda binder: binder.describe(destination, BROKER_TIMEOUT_MS))
    if info is None:
        return None
    group = binding.group if binding.is_input else None
    committed: Mapping[int, int] = {}
    if group is not None:
        committed = brokers.ask(binding.binder, lambda b: b.committed(group, destination, BROKER_TIMEOUT_MS))
    return [
        Lane(
            destination,
            partition,
            info.starts.get(partition, 0),
            info.ends.get(partition, 0),
            committed.get(partition),
            stored.get((group or "", destination, partition)),
            by_database,
        )
        for partition in range(info.partitions)
    ]
