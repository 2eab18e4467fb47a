"""A source, a log and a group in memory that go on between the questions of `verify`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from streambind.message import ORIGIN, Message
from streambind.origin import Origin
from streambind.verification.numbers import Numbers
from streambind.verification.source import SourceIdentity
from streambind.verification.verdict import Given, Guarded
from streambind.verification.verify import Log

SOURCE, DESTINATION = "source", "things"


def event_id(key: bytes, seq: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{key!r} {seq}")


@dataclass
class World:
    """One partition. `step` makes a move that an honest system may make; which one, `choose(n)` says."""

    choose: Callable[[int], int] = lambda n: 0
    keys: Sequence[bytes] = (b"a", b"b", b"c")
    committed: dict[bytes, int] = field(default_factory=dict)
    outbox: list[tuple[bytes, int]] = field(default_factory=list)
    log: list[tuple[bytes, int] | None] = field(default_factory=list)
    position: int = 0
    guard: dict[bytes, int] = field(default_factory=dict)
    set_aside: list[tuple[bytes, int]] = field(default_factory=list)
    is_compacted: bool = False

    def step(self) -> None:
        moves = [self.commit, self.send, self.send_again, self.handle, self.park, self.retry]
        moves += [self.compact] * self.is_compacted
        moves[self.choose(len(moves))]()

    def commit(self) -> None:
        key = self.keys[self.choose(len(self.keys))]
        self.committed[key] = self.committed.get(key, 0) + 1
        self.outbox.append((key, self.committed[key]))

    def send(self) -> None:
        """Send and delete."""
        if self.outbox:
            self.log.append(self.outbox.pop(0))

    def send_again(self) -> None:
        """Send, and crash before the deletion."""
        self.log += self.outbox[: 1 + self.choose(2)]

    def handle(self) -> None:
        if self.position < len(self.log):
            event = self.log[self.position]
            self.position += 1
            if event is not None and any(key == event[0] for key, _ in self.set_aside):
                self.set_aside.append(event)
            elif event is not None:
                self._apply(event)

    def park(self) -> None:
        """The next message fails."""
        if self.position < len(self.log):
            event = self.log[self.position]
            self.position += 1
            if event is not None:
                self.set_aside.append(event)

    def retry(self) -> None:
        if self.set_aside:
            self._apply(self.set_aside.pop(0))

    def compact(self) -> None:
        """Forget one event that a later one of its key follows."""
        at = self.choose(len(self.log) + 1)
        later = {event[0] for event in self.log[at + 1 :] if event is not None}
        if at < len(self.log) and (event := self.log[at]) is not None and event[0] in later:
            self.log[at] = None

    def _apply(self, event: tuple[bytes, int]) -> None:
        key, seq = event
        last = self.guard.get(key, 0)
        if seq == last + 1 or (self.is_compacted and seq > last):
            self.guard[key] = seq

    def settle(self) -> None:
        while self.outbox:
            self.send()
        while self.position < len(self.log):
            self.handle()
        while self.set_aside:
            self.retry()


class Restless:
    """Both sides of `verify`, and the log, over a world that moves before each question."""

    def __init__(self, world: World, steps: Callable[[], int] = lambda: 0) -> None:
        self._world = world
        self._steps = steps

    def _now(self) -> World:
        for _ in range(self._steps()):
            self._world.step()
        return self._world


class RestlessSource(Restless):
    def identity(self) -> SourceIdentity:
        self._now()
        return SourceIdentity(SOURCE, 1)

    def walk(self) -> Iterator[tuple[bytes, Given]]:
        for key in self._world.keys:
            if (seq := self._now().committed.get(key)) is not None:
                yield key, Given(seq, event_id(key, seq))

    def given(self, keys: Sequence[bytes]) -> dict[bytes, Given]:
        committed = self._now().committed
        return {key: Given(committed[key], event_id(key, committed[key])) for key in keys if key in committed}

    def unsent(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        outbox = self._now().outbox
        return {key: min(seq for k, seq in outbox if k == key) for key in {k for k, _ in outbox} & {*keys}}

    def blocked(self) -> set[bytes]:
        return set()


class RestlessGroup(Restless):
    def walk(self) -> Iterator[tuple[bytes, Guarded]]:
        for key in self._world.keys:
            if (seq := self._now().guard.get(key)) is not None:
                yield key, Guarded(1, seq, event_id(key, seq))

    def guarded(self, keys: Sequence[bytes]) -> dict[bytes, Guarded]:
        guard = self._now().guard
        return {key: Guarded(1, guard[key], event_id(key, guard[key])) for key in keys if key in guard}

    def parked(self, keys: Sequence[bytes], epoch: int) -> dict[bytes, tuple[Numbers, Numbers]]:
        found: dict[bytes, tuple[Numbers, Numbers]] = {}
        for key, seq in self._now().set_aside:
            if key in keys:
                for numbers in found.setdefault(key, (Numbers(), Numbers())):
                    numbers.add(seq)
        return found

    def positions(self) -> Mapping[int, int]:
        return {0: self._now().position}

    def began_within(self) -> bool:
        return False

    def is_compacted(self) -> bool:
        return self._world.is_compacted


def log_of(world: World, steps: Callable[[], int] = lambda: 0) -> Log:
    restless = Restless(world, steps)

    def read(starts: Mapping[int, int], until: Mapping[int, int]) -> Iterable[Message]:
        for event in restless._now().log[starts[0] : until[0]]:
            if event is not None:
                yield message(*event)

    return Log(lambda: {0: len(restless._now().log)}, read)


def message(key: bytes, seq: int, *, epoch: int = 1) -> Message:
    origin = str(Origin(SOURCE, epoch, DESTINATION, seq)).encode()
    return Message(b"{}", key, raw_headers=[(ORIGIN, origin)], destination=DESTINATION)
