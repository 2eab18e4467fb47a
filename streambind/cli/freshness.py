"""How far behind their sources the groups are: when what they have to do next was committed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from streambind.cli.progress import Lane, Progress
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target
from streambind.freshness import behind_s, committed_ms
from streambind.message import Message


def with_freshness(target: Target, measures: Sequence[Progress]) -> list[Progress]:
    """These, with the age of the first message that each partition has to do; it is read from the broker, and
    where there is none, none is left to do.

    Raises:
        BrokerUnavailableError: a broker does not answer.
    """
    with target.brokers() as brokers:
        return [replace(measure, lanes=tuple(_lanes(brokers, measure))) for measure in measures]


def _lanes(brokers: Brokers, measure: Progress) -> Iterator[Lane]:
    if not measure.binding.is_input or measure.binding.group is None:
        yield from measure.lanes
        return
    firsts: dict[tuple[str, int], Message] = {}
    for destination in measure.binding.destinations:
        waiting = [lane for lane in measure.lanes if lane.destination == destination and _has_more(lane)]
        for message in _read(brokers, measure, waiting):
            firsts.setdefault((destination, message.partition or 0), message)
    now_ms = time.time_ns() // 1_000_000
    for lane in measure.lanes:
        first = firsts.get((lane.destination, lane.partition))
        if first is not None:
            yield replace(lane, behind_s=behind_s(committed_ms(first.raw_headers), now_ms))
        elif lane.lag == 0 or (_has_more(lane) and not _read(brokers, measure, [lane])):
            yield replace(lane, nothing_left=True, behind_s=0.0)
        else:
            yield lane


def _has_more(lane: Lane) -> bool:
    return lane.lost is None and bool(lane.lag)


def _read(brokers: Brokers, measure: Progress, lanes: Sequence[Lane]) -> Sequence[Message]:
    """The first message of each that came in time; of one alone, nothing comes only if there is nothing."""
    if not lanes:
        return ()
    starts = {lane.partition: max(lane.start, lane.done_to or 0) for lane in lanes}
    return brokers.ask(
        measure.binding.binder, lambda b: b.read(lanes[0].destination, starts, BROKER_TIMEOUT_MS, each=1)
    )
