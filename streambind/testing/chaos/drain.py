"""Whether everything that was committed has been sent and handled, and what the topics hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streambind.binders.kafka import KAFKA
from streambind.binding.binder import Binder
from streambind.errors import StreambindError
from streambind.headers import header_text
from streambind.message import EVENT_ID, Message, origin_of
from streambind.origin import Origin
from streambind.testing.chaos.observed import ObservedDatabase, Position

_TIMEOUT_MS = 5_000
_READ_MS = 60_000
_BETWEEN_S = 0.1


@dataclass(frozen=True)
class Wire:
    """What the topics hold: `events` are distinct by their id, `duplicates` are the other records; `gaps` are
    numbers of a key that came before the number before them."""

    records: int
    events: int
    gaps: Sequence[str]

    @property
    def duplicates(self) -> int:
        return self.records - self.events


class Drain:
    """Outboxes and topics of a chaos run, on a broker."""

    def __init__(self, databases: Sequence[ObservedDatabase], brokers: str) -> None:
        self._databases = databases
        self._binder: Binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": brokers}))

    def wait(self, within_s: float, still_up: Callable[[], None]) -> str | None:
        """Until nothing is on its way any more, which has to be so twice in a row; returns None then, else what
        lags when the time is over. `still_up` is called between looks."""
        deadline = time.monotonic() + within_s
        before: Mapping[str, Mapping[int, int]] | None = None
        while True:
            lag, ends = self._look()
            if lag is None and ends == before:
                return None
            if time.monotonic() > deadline:
                return lag or "messages keep coming"
            before = ends if lag is None else None
            still_up()
            time.sleep(_BETWEEN_S)

    def wire(self) -> Wire:
        """Read all topics that a group has a position in.

        Raises:
            StreambindError: the broker is away.
        """
        records = 0
        ids: set[object] = set()
        last: dict[object, int] = {}
        gaps: list[str] = []
        for destination in {p.destination for d in self._databases for p in d.positions() or ()}:
            info = self._binder.describe(destination, _TIMEOUT_MS)
            at = {} if info is None else dict(info.starts)
            while info is not None and (behind := {p: o for p, o in at.items() if o < info.ends[p]}):
                messages = self._binder.read(destination, behind, _READ_MS)
                for message in messages:
                    partition, offset = message.partition or 0, message.offset or 0
                    at[partition] = offset + 1
                    records += 1
                    place = (destination, partition, offset)
                    ids.add(header_text(message.raw_headers, EVENT_ID) or place)
                    if (origin := _origin(message)) is not None:
                        chain = (destination, origin.source_id, origin.epoch, message.key)
                        if origin.seq > last.get(chain, 0) + 1:
                            gaps.append(
                                f"{destination}[{partition}]@{offset}: number {origin.seq} of key "
                                f"{message.key!r} came after number {last.get(chain, 0)}"
                            )
                        last[chain] = max(last.get(chain, 0), origin.seq)
                if not messages:
                    break  # What is left are a transaction's marks.
        return Wire(records, len(ids), gaps)

    def close(self) -> None:
        self._binder.close(1000)

    def _look(self) -> tuple[str | None, Mapping[str, Mapping[int, int]]]:
        """What lags first, and where the topics end."""
        ends: dict[str, Mapping[int, int]] = {}
        try:
            for database in self._databases:
                backlog, parked, positions = database.backlog(), database.parked(), database.positions()
                if backlog is None or parked is None or positions is None:
                    return f"{database.name} does not answer", ends
                if backlog:
                    return f"outbox of {database.name}: {backlog} messages wait", ends
                if parked:
                    return f"{database.name}: {parked} keys are parked", ends
                for group, destination in sorted({(p.group, p.destination) for p in positions}):
                    lag = self._behind(group, destination, positions, ends)
                    if lag is not None:
                        return lag, ends
        except StreambindError as error:
            return str(error), ends
        return None, ends

    def _behind(
        self,
        group: str,
        destination: str,
        positions: Sequence[Position],
        ends: dict[str, Mapping[int, int]],
    ) -> str | None:
        info = self._binder.describe(destination, _TIMEOUT_MS)
        if info is None:
            return f"topic {destination} does not exist"
        ends[destination] = info.ends
        stands = {
            p.partition: p.next_offset for p in positions if (p.group, p.destination) == (group, destination)
        }
        behind = {p: stands.get(p, info.starts[p]) for p, end in info.ends.items()}
        behind = {p: at for p, at in behind.items() if at < info.ends[p]}
        # Behind the last record there may be a transaction's marks, which nobody handles.
        left = self._binder.read(destination, behind, _TIMEOUT_MS) if behind else ()
        if left:
            return f"group {group}: {len(left)} records or more of {destination} are not handled yet"
        return None


def _origin(message: Message) -> Origin | None:
    origin = origin_of(message.raw_headers)
    return origin if origin is not None and origin.destination == message.destination else None
