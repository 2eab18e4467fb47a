"""A bench for the lanes of a relay, and senders that end with the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from streambind.binding.binder import ProducerBinding
from streambind.message import Message
from streambind.outbound.lease import Hold
from streambind.outbound.relay_lanes import Lanes
from streambind.outbound.relay_outcome import RelayOutcome
from streambind.outbound.relay_way import SharedWay
from streambind.outbound.sender import OnError, QueuedSender
from streambind.outbound.wire_message import Source
from tests.unit.outbound_relay.producer import ScriptedProducer
from tests.unit.outbound_relay.rows import row

SOURCE = Source("source", 1)


class Bench:
    """Lanes on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.producers: dict[str, ProducerBinding | Exception | None] = {}
        self.asked: list[str] = []
        self.reported = threading.Semaphore(0)
        self.lanes = Lanes(self._way, self.reported.release, clock=lambda: self.now)

    def _way(self, destination: str) -> SharedWay | None:
        return SharedWay(destination, self._producer) if self.producers.get(destination) is not None else None

    def _producer(self, destination: str) -> ProducerBinding | None:
        self.asked.append(destination)
        producer = self.producers[destination]
        if isinstance(producer, Exception):
            raise producer
        return producer

    def send(self, *destinations: str) -> list[RelayOutcome]:
        """Send one row to each and wait for all reports."""
        rows = [row(destination=destination, shard=n) for n, destination in enumerate(destinations)]
        self.lanes.dispatch(rows, SOURCE, Hold(self.now + 10, {}))
        for _ in destinations:
            assert self.reported.acquire(timeout=10)
        collected = self.lanes.collect()
        assert collected.destinations == set(destinations)
        return list(collected.outcomes)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.lanes.purge()
    bench.lanes.end()
    bench.lanes.join(bench.now + 10)


Start = Callable[..., QueuedSender]


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes senders and stops them after the test."""
    senders: list[QueuedSender] = []

    def make(
        producer: ScriptedProducer,
        *,
        capacity: int = 1000,
        timeout_ms: int = 60_000,
        on_error: OnError | None = None,
    ) -> QueuedSender:
        sender = QueuedSender(
            producer, "out-x", destination="x", capacity=capacity, timeout_ms=timeout_ms, on_error=on_error
        )
        senders.append(sender)
        return sender

    yield make
    for sender in senders:
        sender.stop(1000)


def message_of(n: int = 0) -> Message:
    return Message(b"%d" % n, b"key")


def full_sender(start: Start) -> tuple[ScriptedProducer, QueuedSender]:
    """A sender that holds one message and has another in its queue, for which alone there is room."""
    producer = ScriptedProducer()
    producer.hold()
    sender = start(producer, capacity=1)
    sender.submit(message_of(0))
    assert producer.sending.wait(10)
    sender.submit(message_of(1))
    return producer, sender
