"""How far the groups are: what the brokers hold, and what the groups, or their database, say is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streambind.binding.binder import Identity
from streambind.binding.binder import Lane as Place
from streambind.binding.lost_position import lost_position
from streambind.cli.plan import PlannedBinding
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, ask_database
from streambind.errors import SchemaError
from streambind.inbound.stored_positions import StoredPosition
from streambind.inbound.stored_positions import stored_positions as read_positions

Positions = Mapping[tuple[str, Place], StoredPosition]
"""What the database holds, by group and partition."""


@dataclass(frozen=True)
class Lane:
    """One partition. `committed` is the group's report to the broker, `stored` the position in the database; None:
    there is none, or it is not asked for. `lost`: why a stored position means nothing, and what mends it. Two that
    `with_freshness` finds out: `nothing_left`: no message lies between position and end, whatever the offsets say;
    `behind_s`: for how many seconds the first one has been committed, None: unknown."""

    destination: str
    partition: int
    start: int
    end: int
    committed: int | None = None
    position: StoredPosition | None = None
    by_database: bool = False
    identity: Identity = field(default_factory=Identity)
    lost: str | None = None
    nothing_left: bool = False
    behind_s: float | None = None

    @property
    def stored(self) -> int | None:
        return None if self.position is None else self.position.offset

    @property
    def done_to(self) -> int | None:
        """The position that counts."""
        return self.stored if self.by_database else self.committed

    @property
    def lag(self) -> int | None:
        """Messages to do; None if it cannot be known: the group has no position, or one beyond the end."""
        position = self.done_to
        if self.nothing_left:
            return 0
        if position is None:
            return 0 if self.end == self.start else None
        if self.lost is not None and self.start <= position:
            return None
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

    @property
    def behind_s(self) -> float | None:
        """Of the partition that is furthest behind; None if it is unknown of one."""
        known = [lane.behind_s for lane in self.lanes if lane.behind_s is not None]
        return max(known) if known and len(known) == len(self.lanes) else None


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
        return ask_database(database, lambda: read_positions(database))
    except SchemaError:
        return {}


def _measure(brokers: Brokers, binding: PlannedBinding, stored: Positions) -> Progress:
    by_database = binding.positions or any(
        group == binding.group and place.destination in binding.destinations for group, place in stored
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
    lanes = []
    for partition in range(info.partitions):
        place = Place(destination, partition)
        position = stored.get((group or "", place))
        start, end = info.starts.get(partition, 0), info.ends.get(partition, 0)
        lost = None
        if group is not None and position is not None and by_database:
            lost = lost_position(
                binding.name,
                group,
                place,
                position.offset,
                was=position.identity,
                now=info.identity,
                start=start,
                end=end,
            )
        lanes.append(
            Lane(
                destination,
                partition,
                start,
                end,
                committed.get(partition),
                position,
                by_database,
                info.identity,
                None if lost is None else f"{type(lost).__name__}: {lost}",
            )
        )
    return lanes
