"""Replicas of one class that fill the same columns: a row says no more whose it is."""

from __future__ import annotations

from collections.abc import Iterator

from streambind.inbound.replica_columns import read_columns
from streambind.inbound.replicates import ReplicaMark, replicas_of


def rivals_of(mark: ReplicaMark) -> Iterator[str]:
    """The bindings of the class's other replicas whose rows this one would take for its own, as they fill columns
    that it fills too, or one of both fills nothing but a key."""
    mine = _filled(mark)
    for other in replicas_of(mark.declared_on):
        if other is not mark:
            theirs = _filled(other)
            if mine & theirs or not mine or not theirs:
                yield other.binding


def _filled(mark: ReplicaMark) -> set[str]:
    """The columns that it fills, but those of its key."""
    found = read_columns(mark)
    return {*found.sources, *filter(None, [mark.soft_delete])} - {*found.key}
