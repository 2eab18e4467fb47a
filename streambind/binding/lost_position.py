"""Why a partition cannot go on at its stored position, in words that name the remedy (pure)."""

from __future__ import annotations

from streambind.binding.binder import Identity, Lane
from streambind.errors import DestinationReplacedError, PositionLostError


def lost_position(
    binding: str, group: str, lane: Lane, position: int, *, was: Identity, now: Identity, start: int, end: int
) -> PositionLostError | None:
    """Why a stored position means nothing; None if it does."""
    if not was.may_be(now):
        return replaced(binding, group, lane, position, was=was, now=now)
    return outside_log(binding, group, lane, position, start=start, end=end)


def outside_log(
    binding: str, group: str, lane: Lane, position: int, *, start: int, end: int
) -> PositionLostError | None:
    """The error of a position that is not between the log's start and its end; None if it is."""
    if start <= position <= end:
        return None
    if position < start:
        what = f"the log begins at {start}: {start - position} messages were lost to retention"
    else:
        what = f"the log ends at {end}: {position - end} messages were cut off, or the destination was made anew"
    place = _place(binding, group, lane)
    return PositionLostError(
        f"{place} cannot go on at {position}, {what}. Find out what they would have changed; {_go_on(binding)}"
    )


def replaced(
    binding: str, group: str, lane: Lane, position: int, *, was: Identity, now: Identity
) -> DestinationReplacedError:
    """The error of a position that belongs to another destination, or another broker."""
    if None not in (was.cluster, now.cluster) and was.cluster != now.cluster:
        what = f"its brokers belong to cluster {now.cluster}, the position to {was.cluster}"
        remedy = "If the address is wrong, mend it and start again; else "
    else:
        what = f"{lane.destination} was made anew (it was {was.destination}, it is {now.destination})"
        remedy = "What the old one still held is lost: find out what it would have changed; "
    return DestinationReplacedError(
        f"{_place(binding, group, lane)} cannot go on at {position}: {what}. {remedy}{_go_on(binding)}"
    )


def _place(binding: str, group: str, lane: Lane) -> str:
    return f"binding {binding}: {lane.destination}[{lane.partition}] of group {group}"


def _go_on(binding: str) -> str:
    return (
        f"to go on: streambind positions reset TARGET {binding} --to earliest (--dry-run shows what it would do)"
    )
