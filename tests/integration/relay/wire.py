"""A broker in memory that remembers what travelled, and the rules that a relay's log must follow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import LifecycleError
from streambind.message import ORIGIN, Message
from streambind.origin import Origin

Result = Sent | Failed | Unknown


class Record(NamedTuple):
    """What the checker needs of a message; `seq` is 0 where it has no origin."""

    destination: str
    key: bytes | None
    seq: int


class Wire:
    """All destinations of a broker, in the order in which messages arrived. `answer` may refuse a message: what
    it returns, if not None, is the result, and only `Sent` gets into the log. Thread-safe."""

    def __init__(self, answer: Callable[[Message], Result | None] | None = None) -> None:
        self.log: list[Record] = []
        self.messages: list[Message] = []
        self.foreign: set[str] = set()
        self.away: Exception | None = None
        self.arrived = threading.Condition()
        self.bound: dict[str, WireProducer] = {}
        self.answer = answer

    def producer(self, destination: str) -> WireProducer | None:
        """What a relay asks for the producer of a destination."""
        if self.away is not None:
            raise self.away
        if destination in self.foreign:
            return None
        with self.arrived:
            return self.bound.setdefault(destination, WireProducer(self, destination))

    def arrive(self, message: Message) -> Result:
        answer = self.answer(message) if self.answer is not None else None
        if answer is not None and not isinstance(answer, Sent):
            return answer
        text = message.headers.get(ORIGIN)
        origin = Origin.parse(str(text)) if text is not None else None
        with self.arrived:
            self.messages.append(message)
            self.log.append(Record(message.destination or "", message.key, origin.seq if origin else 0))
            self.arrived.notify_all()
        return Sent(0, len(self.log))

    def wait_for(self, condition: Callable[[], bool], seconds: float = 20) -> bool:
        """Whether `condition` comes to hold after some arrival."""
        with self.arrived:
            return self.arrived.wait_for(condition, seconds)

    def sequences(self, destination: str = "lectures") -> dict[bytes | None, list[int]]:
        """The numbers that travelled, by key, in order."""
        found: dict[bytes | None, list[int]] = {}
        for record in list(self.log):
            if record.destination == destination:
                found.setdefault(record.key, []).append(record.seq)
        return found


class WireProducer:
    """One relay's way to one destination; `hold()` is a broker that does not answer."""

    def __init__(self, wire: Wire, destination: str) -> None:
        self._wire = wire
        self._destination = destination
        self._open = threading.Event()
        self._open.set()
        self._purged = False
        self.sending = threading.Event()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def send(self, messages: Sequence[Message]) -> list[Result]:
        if self._purged:
            raise LifecycleError(f"{self._destination}: purged")
        results: list[Result] = []
        for message in messages:
            if not self._open.is_set():
                self.sending.set()
                self._open.wait()
            results.append(Unknown("purged") if self._purged else self._wire.arrive(message))
        return results

    def max_payload_bytes(self) -> int | None:
        return None

    def purge(self) -> None:
        self._purged = True
        self._open.set()

    def unbind(self, timeout_ms: int) -> None:
        self.purge()


def missing(sequences: dict[bytes | None, list[int]], committed: dict[bytes, int]) -> list[str]:
    """Committed numbers that never travelled, and numbers that were never committed."""
    return [
        f"key {key!r}: committed 1..{last}, travelled {sorted(set(sequences.get(key, [])))}"
        for key, last in committed.items()
        if set(sequences.get(key, [])) != set(range(1, last + 1))
    ]


def gaps(sequences: dict[bytes | None, list[int]]) -> list[str]:
    """Numbers that came before their predecessor had: a consumer with the sequence guard would park the key."""
    found: list[str] = []
    for key, numbers in sequences.items():
        last = 0
        for number in numbers:
            if number > last + 1:
                found.append(f"key {key!r}: {number} after {last}")
            last = max(last, number)
    return found


def overtaken(sequences: dict[bytes | None, list[int]]) -> list[str]:
    """Keys whose log does not end in order: a consumer without any guard would keep an old value."""
    found: list[str] = []
    for key, numbers in sequences.items():
        final = {number: place for place, number in enumerate(numbers)}
        places = [final[number] for number in sorted(final)]
        if places != sorted(places):
            found.append(f"key {key!r}: ends with {numbers[-5:]}")
    return found


def read_log(lines: Iterable[str]) -> dict[bytes | None, list[int]]:
    """The sequences of a log file with `key seq` on each line; a torn last line does not count."""
    found: dict[bytes | None, list[int]] = {}
    for line in lines:
        key, _, seq = line.rstrip("\n").partition(" ")
        if line.endswith("\n") and seq.isdigit():
            found.setdefault(key.encode(), []).append(int(seq))
    return found
