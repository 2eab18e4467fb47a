"""Inputs in which messages wait and nothing goes on, as far as broker and database can tell."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from streambind.cli.output import count
from streambind.cli.progress import Lane, Progress, measured
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target

_AGAIN_S = 2.0
"""Until a second look: longer than a working instance takes to report what it has done."""

Waiting = tuple[Progress, Lane]


def standing(target: Target, inputs: Sequence[Progress]) -> list[str]:
    """What stands still in these, measured just now, and why it may. Where somebody takes a partition, or nobody
    can tell, it looks a second time after two seconds.

    Raises:
        BrokerUnavailableError: a broker does not answer.
        DatabaseUnavailableError: the database does not answer.
    """
    waiting = [(measure, lane) for measure in inputs for lane in measure.lanes if _waits(measure, lane)]
    if not waiting:
        return []
    with target.brokers() as brokers:
        members = {_subscription(*each): _members(brokers, *each) for each in waiting}
    left: list[Waiting] = []
    doubtful: list[Waiting] = []
    for measure, lane in waiting:
        known = members[_subscription(measure, lane)]
        (left if known is not None and lane.partition not in known else doubtful).append((measure, lane))
    return [*map(_unattended, left), *_still(target, doubtful)]


def _waits(measure: Progress, lane: Lane) -> bool:
    return measure.binding.group is not None and lane.lost is None and lane.lag != 0


def _subscription(measure: Progress, lane: Lane) -> tuple[str, str | None, str]:
    return measure.binding.binder, measure.binding.group, lane.destination


def _members(brokers: Brokers, measure: Progress, lane: Lane) -> Mapping[int, str] | None:
    group = measure.binding.group or ""
    return brokers.ask(measure.binding.binder, lambda b: b.owners(group, lane.destination, BROKER_TIMEOUT_MS))


def _unattended(waiting: Waiting) -> str:
    group = waiting[0].binding.group
    return f"{_where(*waiting)}, and no instance of group {group} takes it: is the service running?"


def _still(target: Target, doubtful: Sequence[Waiting]) -> list[str]:
    if not doubtful:
        return []
    time.sleep(_AGAIN_S)
    bindings = {measure.binding.name: measure.binding for measure, _ in doubtful}
    now = {_key(m, lane): lane for m in measured(target, list(bindings.values())) for lane in m.lanes}
    stand = [
        each
        for each in doubtful
        if (later := now.get(_key(*each))) is not None and later.lag != 0 and _at(later) == _at(each[1])
    ]
    return [
        f"{_where(*each)}, and it does not go on: its group does not run, a delivery takes long, a message keeps "
        "failing or the partition has stopped; its health and its log say which"
        for each in stand
    ]


def _where(measure: Progress, lane: Lane) -> str:
    place = f"{measure.binding.name}: {lane.destination}[{lane.partition}]"
    if (lag := lane.lag) is None:
        at = "no known position" if _at(lane) is None else f"the position {_at(lane)} beyond its end {lane.end}"
        return f"{place} has {at}"
    return f"{place} is at {_at(lane)}, {count(lag, 'message')} before its end"


def _at(lane: Lane) -> int | None:
    return lane.stored if lane.by_database else lane.committed


def _key(measure: Progress, lane: Lane) -> tuple[str, str, int]:
    return measure.binding.name, lane.destination, lane.partition
