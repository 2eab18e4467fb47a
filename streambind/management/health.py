"""How an application fares: its bindings, its outbox, and one word for all of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from streambind.application import StreamApplication
from streambind.binding.binder import Lane, PartitionState
from streambind.binding.binding import BindingState, BindingStatus
from streambind.errors import StreambindError
from streambind.freshness import behind_s
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.parked_status import ParkedStatus, parked_status
from streambind.inbound.statistics import Figures
from streambind.outbound.outbox_status import outbox_status
from streambind.outbound.relay_state import RelayState, RelayStatus
from streambind.persistence.database import Database
from streambind.persistence.failures import describe

STUCK_S = 30.0
"""For how long a delivery may run before somebody should look."""

_UNKNOWN_TOPIC = "UNKNOWN_TOPIC_OR_PART"


class HealthStatus(StrEnum):
    """`degraded`: something is in the way, nothing is lost, and all else goes on; `down`: somebody must act."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far behind the source a partition is: messages to do, and seconds since the oldest of them was
    committed, or the last one done where the next has not come yet. None: unknown. For people: it is the
    difference of two clocks.
    """

    lag: int | None
    behind_s: float | None


@dataclass(frozen=True, slots=True)
class BindingHealth:
    """One binding. Partitions are written `destination[number]`; `stalled` and `retrying` give the reason of each
    that is not served. `counts` are since the process started, `parked` is what waits in the database now, of all
    instances; None where nothing is parked. `freshness` is
    by partition, `behind_s` that of the one furthest behind; None if it is unknown of one, or none is assigned."""

    name: str
    direction: str
    status: HealthStatus
    state: str
    destination: str
    group: str | None
    assigned: tuple[str, ...] = ()
    stalled: dict[str, str] = field(default_factory=dict)
    retrying: dict[str, str] = field(default_factory=dict)
    last_error: str | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    parked: ParkedStatus | None = None
    freshness: dict[str, Freshness] = field(default_factory=dict)
    behind_s: float | None = None


@dataclass(frozen=True, slots=True)
class OutboxHealth:
    """Committed, not yet sent. `oldest_age_ms` is None while the outbox is empty."""

    status: HealthStatus
    relay: str
    backlog: int = 0
    oldest_age_ms: int | None = None
    blocked: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The worst of its parts; an application that does not run is down."""

    status: HealthStatus
    running: bool
    bindings: tuple[BindingHealth, ...]
    outbox: OutboxHealth | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def health(application: StreamApplication) -> Health:
    """The application's health now. Asks the database for the outbox's age and for parked keys, the broker for
    nothing."""
    statuses = application.status()
    # At once: a partition that goes on while the database is asked would be known at another place.
    fresh = {status.name: _freshness_of(application, status) for status in statuses}
    parked, trouble = _parked(application, statuses)
    bindings = tuple(
        _binding(application, status, fresh[status.name], parked.get(status.name), trouble) for status in statuses
    )
    database, relay = application.database, application.relay
    outbox = None if database is None or relay is None else _outbox(database, relay)
    parts = [binding.status for binding in bindings] + ([outbox.status] if outbox else [])
    running = application.is_running
    return Health(_worst(parts) if running else HealthStatus.DOWN, running, bindings, outbox)


def _parked(
    application: StreamApplication, statuses: Sequence[BindingStatus]
) -> tuple[dict[str, ParkedStatus], str | None]:
    """What each input has parked; or why that cannot be told."""
    inputs = [status for status in statuses if application.parks(status.name)]
    if application.database is None or not inputs:
        return {}, None
    try:
        found = parked_status(application.database)
    except (SQLAlchemyError, StreambindError) as error:
        return {}, f"parked keys cannot be counted: {describe(error)}"
    parked: dict[str, ParkedStatus] = {}
    for status in inputs:
        of_input = [found.get((status.group or "", each)) for each in status.destination.split(",")]
        parked[status.name] = ParkedStatus.total(each for each in of_input if each is not None)
    return parked, None


def _binding(
    application: StreamApplication,
    status: BindingStatus,
    freshness: dict[str, Freshness],
    parked: ParkedStatus | None,
    trouble: str | None,
) -> BindingHealth:
    partitions = _in_order(status)
    stalled = {_text(p.lane): p.stalled for p in partitions if p.stalled}
    retrying = {_text(p.lane): p.retrying for p in partitions if p.retrying}
    figures = application.figures(status.name)
    uncounted = trouble if application.parks(status.name) else None
    stuck, gone = _stuck(figures), _gone(status)
    degraded = (
        retrying
        or stuck
        or gone
        or status.state is BindingState.WAITING
        or (figures and figures.degraded_since)
        or parked
        or uncounted
    )
    word = HealthStatus.DEGRADED if degraded else HealthStatus.UP
    if stalled or status.state is BindingState.FAILED:
        word = HealthStatus.DOWN
    return BindingHealth(
        name=status.name,
        direction=status.direction,
        status=word,
        state=str(status.state),
        destination=status.destination,
        group=status.group,
        assigned=tuple(_text(p.lane) for p in partitions),
        stalled=stalled,
        retrying=retrying,
        last_error=stuck or gone or status.last_error or (figures.last_error if figures else None) or uncounted,
        counts=asdict(figures) if figures else {},
        parked=parked or None,
        freshness=freshness,
        behind_s=_worst_behind_s(freshness),
    )


def _freshness_of(application: StreamApplication, status: BindingStatus) -> dict[str, Freshness]:
    """By partition."""
    times, now_ms = application.commit_times(status.name), time.time_ns() // 1_000_000
    return {_text(p.lane): _freshness(p, times, now_ms) for p in _in_order(status)}


def _freshness(state: PartitionState, times: CommitTimes | None, now_ms: int) -> Freshness:
    if state.lag == 0:
        return Freshness(0, 0.0)
    if state.position is None or times is None:
        return Freshness(state.lag, None)
    return Freshness(state.lag, behind_s(times.at(state.lane, state.position), now_ms))


def _worst_behind_s(partitions: dict[str, Freshness]) -> float | None:
    known = [each.behind_s for each in partitions.values() if each.behind_s is not None]
    return max(known) if known and len(known) == len(partitions) else None


def _stuck(figures: Figures | None) -> str | None:
    """A handler that does not return, or a database that does not answer, holds its partition up in silence."""
    if figures is None or figures.longest_s < STUCK_S:
        return None
    work = "a delivery, or the try of a parked message,"
    return f"{work} has run for {figures.longest_s:.0f} s: its handler or the database does not answer"


def _gone(status: BindingStatus) -> str | None:
    """Of a topic that does not exist nothing is assigned, and nothing of it fails: the client says so once."""
    error = status.last_error or ""
    if status.state is not BindingState.RUNNING or status.partitions or _UNKNOWN_TOPIC not in error:
        return None
    return f"nothing is assigned: {status.destination} does not exist, or did not when this was said: {error}"


def _in_order(status: BindingStatus) -> list[PartitionState]:
    return sorted(status.partitions, key=lambda p: (p.lane.destination, p.lane.partition))


def _text(lane: Lane) -> str:
    return f"{lane.destination}[{lane.partition}]"


def _outbox(database: Database, relay: RelayState) -> OutboxHealth:
    words = {RelayStatus.DEGRADED: HealthStatus.DEGRADED, RelayStatus.FAILED: HealthStatus.DOWN}
    word = words.get(relay.status, HealthStatus.UP)
    try:
        status = outbox_status(database)
    except (SQLAlchemyError, StreambindError) as error:
        return OutboxHealth(HealthStatus.DEGRADED, str(relay.status), relay.backlog, last_error=describe(error))
    return OutboxHealth(
        status=HealthStatus.DOWN if status.blocked else word,
        relay=str(relay.status),
        backlog=status.backlog,
        oldest_age_ms=status.oldest_ms,
        blocked=len(status.blocked),
        last_error=relay.last_error,
    )


def _worst(parts: Sequence[HealthStatus]) -> HealthStatus:
    for word in (HealthStatus.DOWN, HealthStatus.DEGRADED):
        if word in parts:
            return word
    return HealthStatus.UP
