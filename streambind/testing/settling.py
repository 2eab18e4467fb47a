"""Whether anything is still on its way between the applications of a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from streambind.application import StreamApplication
from streambind.binding.binder import DestinationInfo, Lane, PartitionState
from streambind.binding.binding import BindingState, BindingStatus
from streambind.configuration.masking import shown_url
from streambind.errors import BrokerError, StreambindError
from streambind.inbound.parked_keys import ParkedState
from streambind.inbound.parked_status import parked_reasons
from streambind.outbound.outbox_status import OutboxStatus, outbox_status
from streambind.persistence.database import Database
from streambind.persistence.failures import describe
from streambind.testing.bookkeeping import has_tables
from streambind.testing.stand_in import StandIn

_SHOWN_KEYS = 10


@dataclass
class Look:
    """What was seen at one moment. `lags`: what is not done yet; `hopeless`: what will not be done by waiting.
    `ends` tells one quiet moment from a later one: a message that was nowhere to be seen in the first, between
    two steps of a chain, has reached a destination by the second, or shows as a lag."""

    lags: list[str] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)
    ends: dict[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def is_quiet(self) -> bool:
        return not self.lags and not self.hopeless

    @property
    def messages(self) -> int:
        """How many have reached the destinations of the inputs so far."""
        return sum(sum(ends.values()) for ends in self.ends.values())

    def report(self) -> str:
        return "\n".join(f"  {line}" for line in [*self.hopeless, *self.lags])


def report_unsettled(first: Look, recent: Look, last: Sequence[Look]) -> str:
    """What kept the applications from settling between the first look and the last ones. What only some of the
    last ones saw was on its way; that messages have come since the `recent` one says why it never ends."""
    now = last[-1]
    stays = [lag for lag in now.lags if all(lag in look.lags for look in last)]
    moves = now.messages > recent.messages
    lines = stays or ([] if moves else now.lags)
    if moves:
        count = now.messages - first.messages
        came = "1 message" if count == 1 else f"{count} messages"
        lines = [*lines, f"still moving: {came} since it began to wait; do listeners send in a circle?"]
    return "\n".join(f"  {line}" for line in lines) or "  nothing lags by now: it was too slow"


def look(applications: Sequence[StreamApplication], broker: StandIn) -> Look:
    """Look at the senders and outboxes of the running applications, then at their inputs."""
    seen = Look()
    for application in applications:
        seen.lags += [f"{name}: {_waiting(count)} to be sent" for name, count in _unsent(application)]
    for database, running in _databases(applications):
        seen.lags += _outbox(database, running)
        _look_at_parked(database, seen)
    for inputs in _groups(applications).values():
        _look_at_inputs(inputs, broker, seen)
    return seen


def _unsent(application: StreamApplication) -> Iterator[tuple[str, int]]:
    return ((name, count) for name, count in application.unsent().items() if count)


def _databases(
    applications: Iterable[StreamApplication],
) -> Iterator[tuple[Database, list[StreamApplication]]]:
    """Each database once, with the applications that use it."""
    by_engine: dict[int, tuple[Database, list[StreamApplication]]] = {}
    for application in applications:
        if application.database is not None:
            key = id(application.database.engine)
            by_engine.setdefault(key, (application.database, []))[1].append(application)
    yield from by_engine.values()


def _outbox(database: Database, applications: Sequence[StreamApplication]) -> list[str]:
    where = f"outbox of {shown_url(database.engine.url)}"
    try:
        status = _status(database)
    except (SQLAlchemyError, StreambindError) as error:
        return [f"{where} cannot be read: {describe(error)}"]
    if status is None or not status.backlog:
        return []
    relays = [application.relay for application in applications]
    errors = [relay.last_error for relay in relays if relay is not None and relay.last_error]
    blocked = [f"key {each.key!r} to {each.destination}: {each.reason}" for each in status.blocked]
    reasons = [*errors, *blocked] or ([] if any(relays) else ["none of the applications has a relay"])
    return [f"{where}: {_waiting(status.backlog)}" + (f" ({'; '.join(reasons)})" if reasons else "")]


def _look_at_parked(database: Database, seen: Look) -> None:
    """Messages that wait behind parked keys are not handled, although the positions are past them."""
    try:
        if not database.run(lambda connection: has_tables(connection, database.tables)):
            return
        parked = parked_reasons(database, limit=_SHOWN_KEYS)
    except (SQLAlchemyError, StreambindError) as error:
        seen.lags.append(f"parked keys of {shown_url(database.engine.url)} cannot be read: {describe(error)}")
        return
    for each in parked:
        count = "1 message waits" if each.messages == 1 else f"{each.messages} messages wait"
        text = f"group {each.group}: key {each.key!r} of {each.destination} is parked ({each.state}), {count}"
        (seen.hopeless if each.state == ParkedState.DEAD else seen.lags).append(f"{text}: {each.error}")


def _waiting(count: int) -> str:
    return "1 message waits" if count == 1 else f"{count} messages wait"


def _status(database: Database) -> OutboxStatus | None:
    """None if the application keeps no tables."""

    def there(connection: Connection) -> bool:
        return has_tables(connection, database.tables)

    return outbox_status(database) if database.run(there) else None


def _groups(applications: Sequence[StreamApplication]) -> dict[tuple[object, ...], list[BindingStatus]]:
    """Inputs by group and destination: the instances of one service share the partitions."""
    found: dict[tuple[object, ...], list[BindingStatus]] = {}
    for number, application in enumerate(applications):
        for status in application.status():
            if status.direction == "in" and status.state is not BindingState.STOPPED:
                alone = number if status.group is None else None
                found.setdefault((status.group, status.destination, alone), []).append(status)
    return found


def _look_at_inputs(inputs: Sequence[BindingStatus], broker: StandIn, seen: Look) -> None:
    name = inputs[0].name
    for status in inputs:
        if status.state not in (BindingState.RUNNING, BindingState.PAUSED):
            seen.lags.append(f"{name} is {status.state}: {status.last_error}")
    states = {partition.lane: partition for status in inputs for partition in status.partitions}
    paused = " (paused)" if any(status.state is BindingState.PAUSED for status in inputs) else ""
    for destination in inputs[0].destination.split(","):
        try:
            info = broker.describe(destination)
        except BrokerError as error:
            seen.lags.append(f"{name}: {describe(error)}")
            continue
        if info is None:
            seen.lags.append(f"{name}: destination {destination} does not exist")
            continue
        seen.ends[destination] = info.ends
        _compare(name + paused, info, states, seen)


def _compare(name: str, info: DestinationInfo, states: Mapping[Lane, PartitionState], seen: Look) -> None:
    for partition, end in info.ends.items():
        where = f"{name}: {info.name}[{partition}]"
        state = states.get(Lane(info.name, partition))
        if state is None:
            seen.lags.append(f"{where} is assigned to no instance")
        elif state.stalled is not None:
            seen.hopeless.append(f"{where} is at {state.position}, its end is {end}; stalled: {state.stalled}")
        elif state.position is None or state.position < end:
            reason = f"; retrying: {state.retrying}" if state.retrying else ""
            seen.lags.append(f"{where} is at {state.position}, its end is {end}{reason}")
