"""Two relays of which one falls asleep at a place and wakes up later, on a broker in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sqlalchemy import Connection, delete, update

from streambind.binders.memory import MEMORY
from streambind.binding.binder import Binder, ProducerBinding, ProducerTarget
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.configuration.properties import ProducerProperties
from streambind.message import ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound import relay_loop
from streambind.outbound.relay import Relay
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import backlog
from tests.integration.relay.conftest import StartRelay
from tests.services.process import wait_for

DESTINATION = "lectures"


class Gate:
    """A place where a thread stands still while it is shut."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()

    def shut(self) -> None:
        self.reached.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def passed(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            assert self._open.wait(60)


class Producer:
    """A producer of the memory binder behind a gate."""

    def __init__(self, inner: ProducerBinding, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        self._gate.passed()
        return self._inner.send(messages)

    def max_payload_bytes(self) -> int | None:
        return self._inner.max_payload_bytes()

    def purge(self) -> None:
        self._inner.purge()

    def unbind(self, timeout_ms: int) -> None:
        self._inner.unbind(timeout_ms)


class Host:
    """One process: a relay on the broker, which can be put to sleep at any of its gates."""

    def __init__(self, owner: str, database: Database, start_relay: StartRelay, *, fencing: bool) -> None:
        self.owner = owner
        self.fencing = fencing
        self.binder: Binder = MEMORY.create(MEMORY.binder_properties())
        self.before_bind, self.before_send, self.after_ack = Gate(), Gate(), Gate()
        self._start = start_relay
        self._database = database
        self.relay: Relay | None = None

    def start(self, *, batch_size: int = 500) -> None:
        fenced = self._bind if self.fencing else None
        self.relay = self._start(
            self._database, lambda _: self._shared(), self.owner, fenced, lease_ms=60_000, batch_size=batch_size
        )

    @property
    def thread(self) -> threading.Thread | None:
        return None if self.relay is None else self.relay._thread

    def lose_its_leases(self) -> None:
        """As a process does that stands still for too long, and reads nothing; it still believes to have them."""
        self._loop.leases.due_at = float("inf")
        self._loop.leases.held = frozenset()
        lease = self._database.tables.lease

        def work(connection: Connection) -> None:
            mine = lease.c.owner == self.owner
            connection.execute(delete(lease).where(mine, lease.c.shard >= SHARDS))
            connection.execute(update(lease).where(mine).values(owner=None, expires_ms=0))

        self._database.run(work)

    def wake(self) -> None:
        self._loop.leases.due_at = 0.0
        for gate in (self.before_bind, self.before_send, self.after_ack):
            gate.open()
        self._loop.wake()

    def rests(self) -> bool:
        """Whether nothing of it is in flight any more."""
        return wait_for(lambda: not self._loop.lanes.is_busy(), 20)

    @property
    def _loop(self) -> relay_loop.RelayLoop:
        assert self.relay is not None
        assert self.relay._loop is not None
        return self.relay._loop

    def _target(self, fence: str | None) -> ProducerTarget:
        return ProducerTarget(
            "out-lectures", DESTINATION, ProducerProperties(), MEMORY.producer_properties(), None, fence
        )

    def _shared(self) -> Producer:
        return Producer(self.binder.bind_producer(self._target(None)), self.before_send)

    def _bind(self, destination: str, fence: str) -> Producer:
        self.before_bind.passed()
        return Producer(self.binder.bind_producer(self._target(fence)), self.before_send)


class Stage:
    """Two hosts, `first` and `second`, on one database and one broker."""

    def __init__(self, database: Database, start_relay: StartRelay, *, fencing: bool) -> None:
        self.database = database
        self.first = Host("first", database, start_relay, fencing=fencing)
        self.second = Host("second", database, start_relay, fencing=fencing)

    def log(self) -> dict[bytes | None, list[int]]:
        found: dict[bytes | None, list[int]] = {}
        for message in self.first.binder.read(DESTINATION, {0: 0}, 1000):
            origin = Origin.parse(str(message.headers[ORIGIN]))
            assert origin is not None
            found.setdefault(message.key, []).append(origin.seq)
        return found

    def settled(self) -> bool:
        """Whether everything is sent, by whoever gets the shards."""

        def look() -> bool:
            self.first.wake()
            self.second.wake()
            return backlog(self.database) == 0

        return wait_for(look, 30)

    def drained(self) -> bool:
        return wait_for(lambda: backlog(self.database) == 0, 30)
