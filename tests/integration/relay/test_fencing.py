"""A relay that has lost its shards and wakes up: with fences nothing of it gets into the log after the new owner's
messages, so that a consumer without the sequence guard ends with the newest value of each key."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection, delete, update

from streambind.binders.memory import MEMORY, MemoryBroker
from streambind.binding.binder import Binder, ProducerBinding, ProducerTarget
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.configuration.properties import ProducerProperties
from streambind.errors import BrokerUnavailableError
from streambind.message import ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound import relay_loop
from streambind.outbound.relay import Relay
from streambind.outbound.relay_outcome import RelayOutcome
from streambind.outbound.relay_way import FencedWay, Job, Readiness
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import backlog, commit_keys, committed
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import gaps, missing, overtaken
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
        """As a process does that stands still for too long; it still believes to have them."""
        self._loop.leases.due_at = float("inf")
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


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    database: Database,
    start_relay: StartRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """With fences, unless the test asks for `fencing=False`."""
    with MemoryBroker.fresh():
        stage = Stage(database, start_relay, fencing=getattr(request, "param", True))

        def failpoint(name: str) -> None:
            for host in (stage.first, stage.second):
                if name == "relay.after_ack" and threading.current_thread() is host.thread:
                    host.after_ack.passed()

        monkeypatch.setattr(relay_loop, "failpoint", failpoint)
        yield stage
        for host in (stage.first, stage.second):
            if host.relay is not None:
                host.wake()


def _sleeps_before_it_sends(stage: Stage) -> None:
    """`first` has three events of each key in memory; `second` sends these and newer ones; `first` wakes up."""
    stage.first.before_send.shut()
    commit_keys(stage.database, range(5), rounds=3)
    stage.first.start()
    assert stage.first.before_send.reached.wait(20)
    stage.first.lose_its_leases()
    commit_keys(stage.database, range(5), rounds=2)
    stage.second.start()
    assert stage.drained()
    stage.first.wake()
    assert stage.first.rests()


def test_one_that_wakes_up_before_its_send_is_shut_out(stage: Stage) -> None:
    _sleeps_before_it_sends(stage)
    assert overtaken(stage.log()) == gaps(stage.log()) == []
    assert missing(stage.log(), committed(stage.database)) == []
    commit_keys(stage.database, range(5))
    assert stage.settled()
    assert overtaken(stage.log()) == []


@pytest.mark.parametrize("stage", [False], indirect=True, ids=["no fences"])
def test_without_fences_its_old_values_come_last(stage: Stage) -> None:
    _sleeps_before_it_sends(stage)
    assert overtaken(stage.log()) != []
    assert gaps(stage.log()) == []


def _sleeps_before_it_takes_the_fence(stage: Stage) -> None:
    """`first` has read rows and has no fence yet; `second` sends them; `first` takes the fence from it."""
    stage.first.before_bind.shut()
    commit_keys(stage.database, [1], rounds=3)
    stage.first.start()
    assert stage.first.before_bind.reached.wait(20)
    stage.first.lose_its_leases()
    commit_keys(stage.database, [1], rounds=2)
    stage.second.start()
    assert stage.drained()
    stage.first.wake()
    assert stage.first.rests()


def test_rows_that_were_read_before_the_fence_was_taken_are_read_again(stage: Stage) -> None:
    _sleeps_before_it_takes_the_fence(stage)
    assert stage.log() == {b"1": [1, 2, 3, 4, 5]}
    # The owner of the shard was shut out, and takes its fence back.
    commit_keys(stage.database, [1])
    assert stage.settled()
    assert stage.log() == {b"1": [1, 2, 3, 4, 5, 6]}


def test_to_send_what_was_read_before_the_fence_was_taken_leaves_old_values_last(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = FencedWay.prepare

    def hastily(self: FencedWay, job: Job) -> Readiness:
        prepare(self, job)
        return Readiness.READY

    monkeypatch.setattr(FencedWay, "prepare", hastily)
    _sleeps_before_it_takes_the_fence(stage)
    assert overtaken(stage.log()) != []


def _gets_back_what_it_has_sent(stage: Stage) -> None:
    """`second` has sent everything and deleted nothing; `first` takes over, reads the beginning of it and sleeps;
    `second` gets the shard back, and then `first` wakes up."""
    commit_keys(stage.database, [1], rounds=5)
    stage.second.after_ack.shut()
    stage.second.start()
    assert stage.second.after_ack.reached.wait(20)
    stage.second.lose_its_leases()
    stage.first.before_send.shut()
    stage.first.start(batch_size=3)
    assert stage.first.before_send.reached.wait(20)
    stage.first.lose_its_leases()
    stage.second.wake()
    assert stage.drained()
    stage.first.wake()
    assert stage.first.rests()


def test_what_was_sent_in_another_tenure_is_sent_again_and_not_deleted(stage: Stage) -> None:
    _gets_back_what_it_has_sent(stage)
    assert stage.log() == {b"1": [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]}


def test_to_delete_what_was_sent_in_another_tenure_leaves_old_values_last(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RelayOutcome, "within", lambda outcome, _: outcome)
    _gets_back_what_it_has_sent(stage)
    assert overtaken(stage.log()) != []


def test_a_fence_that_was_lost_is_taken_again_by_who_owns_the_shard(stage: Stage) -> None:
    stage.first.start()
    commit_keys(stage.database, range(40))
    assert stage.drained()
    for shard in range(SHARDS):
        source = stage.first._loop._source
        assert source is not None
        stage.second._bind(DESTINATION, f"{source.source_id}/{DESTINATION}/{shard}")
    commit_keys(stage.database, range(40))
    stage.first._loop.wake()
    assert stage.drained()
    assert stage.log() == {b"%d" % key: [1, 2] for key in range(40)}


def test_a_fence_that_cannot_be_taken_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    bind, refusals = stage.first._bind, [BrokerUnavailableError("no coordinator yet")] * 3

    def refuse(destination: str, fence: str) -> Producer:
        if refusals and fence.endswith(("/1", "/3")):
            raise refusals.pop()
        return bind(destination, fence)

    monkeypatch.setattr(stage.first, "_bind", refuse)
    commit_keys(stage.database, range(40), rounds=2)
    stage.first.start()
    assert stage.drained()
    assert refusals == []
    assert overtaken(stage.log()) == []
