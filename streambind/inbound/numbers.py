"""The numbers that messages carry. Every message of every batch is asked for its: this is read at little cost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from streambind.headers import header_text
from streambind.inbound.sequence import Applied, Chain
from streambind.message import EVENT_ID, Batch, RawHeaders, number_of
from streambind.persistence.tables import MAX_KEY_BYTES

_is_event_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
"""Most are written like this; making a UUID of each would cost more than all else that is done with it."""


class Run:
    """Events of one chain in a batch, of one epoch, numbered from `first` to `last` without a hole. `index`: the
    message of the last one."""

    __slots__ = ("epoch", "first", "index", "last")

    def __init__(self, epoch: int, first: int, index: int) -> None:
        self.epoch = epoch
        self.first = self.last = first
        self.index = index

    def follows(self, last: Applied | None) -> bool:
        """Whether it is simply what comes next, so that `sequence.follows` holds for each of its events."""
        if last is None:
            return self.first == self.epoch == 1
        return self.first == last.seq + 1 and self.epoch == last.epoch

    def end(self, batch: Batch) -> Applied:
        """Its last event."""
        return Applied(self.epoch, self.last, event_id(batch.raw_headers(self.index)))


def runs_of(batch: Batch, indexes: Iterable[int]) -> dict[Chain, Run] | None:
    """The numbered events among the messages, if those of each chain are one run; else None.

    Raises:
        PermanentError: the headers of a message cannot be read.
    """
    runs: dict[Chain, Run] = {}
    return runs if add_runs(runs, batch, indexes) else None


def add_runs(runs: dict[Chain, Run], batch: Batch, indexes: Iterable[int]) -> bool:
    """Add the messages to `runs_of` those before them; False if a chain is not one run any more.

    Raises:
        PermanentError: the headers of a message cannot be read.
    """
    known = runs.get
    raw_headers, key_of, destination = batch.raw_headers, batch.key, batch.destination
    for index in indexes:
        number = number_of(raw_headers(index))
        if number is None:
            continue
        (source_id, epoch, of), seq = number
        key = key_of(index)
        if key is None or of != destination or len(key) > MAX_KEY_BYTES:
            continue
        run = known((source_id, key))  # type: ignore[call-overload]  # It is equal to a Chain, at less cost.
        if run is None:
            runs[Chain(source_id, key)] = Run(epoch, seq, index)
        elif seq == run.last + 1 and epoch == run.epoch:
            run.last, run.index = seq, index
        else:
            return False
    return True


def event_of(batch: Batch, index: int) -> tuple[Chain, Applied] | None:
    """The numbered event that a message carries; None if it has no number that counts: no key, or one that no row
    could keep, no `sb-origin`, or one that was copied from another destination.

    Raises:
        PermanentError: the message's headers cannot be read.
    """
    runs = runs_of(batch, (index,))
    return next(((chain, run.end(batch)) for chain, run in runs.items()), None) if runs else None


def event_id(headers: RawHeaders) -> str | None:
    """The id that an event carries, as a UUID's text; None if it has none."""
    text = header_text(headers, EVENT_ID)
    if text is None or _is_event_id(text):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return None
