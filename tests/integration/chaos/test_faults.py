"""Each fault does what its name says, and ends: a run whose faults hit nothing would prove nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, func, insert, make_url, select, text, update
from sqlalchemy.exc import OperationalError

from streambind.binders.kafka import EmbeddedBroker
from streambind.persistence.tables import SHARDS
from streambind.testing.chaos.faults import (
    BreakAtCommit,
    Crash,
    Cut,
    Fault,
    Freeze,
    Hold,
    Kill,
    RebalanceStorm,
    StealLeases,
)
from streambind.testing.chaos.observed import ObservedDatabase
from streambind.testing.chaos.program import Program
from streambind.testing.chaos.proxy import Proxy
from streambind.testing.eventually import eventually

WAITS = [sys.executable, "-c", "import signal; signal.pause()"]


class Strike:
    """A fault that has struck: what it says it has hit, and what ends it."""

    def __init__(self, fault: Fault) -> None:
        self._ends: list[Callable[[], None]] = []
        self.hit = fault.strike(Random(1), lambda _, end: self._ends.append(end))

    def end(self) -> None:
        (end,) = self._ends
        end()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program("waiting", WAITS, os.environ, log=tmp_path / "waiting.log")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[ObservedDatabase]:
    made = ObservedDatabase(f"sqlite:///{tmp_path / 'service.db'}")
    made.tables.metadata.create_all(made.engine)
    yield made
    made.close()


def test_a_kill_ends_the_process_and_another_one_comes(program: Program) -> None:
    before = program.pid
    struck = Strike(Kill([program]))
    assert struck.hit == "waiting"
    assert program.exit_code == -9
    struck.end()
    assert program.is_running
    assert program.pid != before


def test_a_freeze_lets_the_process_stand_still_until_it_is_over(program: Program) -> None:
    struck = Strike(Freeze([program]))
    assert struck.hit == "waiting"
    eventually(lambda: program.is_frozen, 10, lambda: "it does not stand still")
    struck.end()
    eventually(lambda: not program.is_frozen, 10, lambda: "it stands still for good")
    assert program.is_running


@pytest.mark.parametrize("fault", [Kill, Freeze])
def test_nothing_is_hit_where_nothing_runs(fault: type[Kill | Freeze], tmp_path: Path) -> None:
    assert Strike(fault([Program("ended", WAITS, os.environ, log=tmp_path / "ended.log")])).hit is None


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import os; print('so long', flush=True); os.abort()", "SIGABRT, so long"),
        ("print('first'); raise SystemExit('no room')", "exit code 1, no room"),
        ("import os; os.abort()", "SIGABRT, --- ending starts "),
    ],
)
def test_a_program_tells_how_it_ended(code: str, ending: str, tmp_path: Path) -> None:
    program = Program("ending", [sys.executable, "-c", code], os.environ, log=tmp_path / "ending.log")
    program.start()
    eventually(lambda: program.exit_code is not None, 10, lambda: program.tail())

    assert program.ending() == ending


def test_stolen_leases_have_no_owner(observed: ObservedDatabase) -> None:
    lease = observed.tables.lease
    with observed.engine.begin() as connection:
        connection.execute(
            insert(lease), [{"shard": shard, "expires_ms": 2**50, "tenure": 1} for shard in range(SHARDS)]
        )
        connection.execute(update(lease).values(owner="relay"))
    assert Strike(StealLeases([observed])).hit is not None
    with observed.engine.begin() as connection:
        stolen = select(func.count()).select_from(lease).where(lease.c.owner.is_(None), lease.c.expires_ms == 0)
        assert connection.scalar(stolen) == SHARDS // 2


def test_a_rebalance_storm_moves_partitions_from_member_to_member(observed: ObservedDatabase) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("items", 4)
        row = {"group_name": "g", "destination": "items", "partition": 0, "next_offset": 0, "start": "earliest"}
        with observed.engine.begin() as connection:
            connection.execute(insert(observed.tables.position).values(**row, start_offset=0, updated_ms=0))
        with _member(broker.address, "g", "items") as revocations:
            assert Strike(RebalanceStorm([observed], broker.address)).hit is not None
            eventually(lambda: len(revocations) > 0, 20, lambda: "nothing was taken from its member")


@contextlib.contextmanager
def _member(brokers: str, group: str, topic: str) -> Iterator[list[int]]:
    """A member of the group, and how many partitions were taken from it, each time that some were."""
    settings = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": "6000"}
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": group, **settings})
    assigned, ends = threading.Event(), threading.Event()
    revocations: list[int] = []

    def on_revoke(client: Consumer, partitions: list[TopicPartition]) -> None:
        revocations.append(len(partitions))
        client.incremental_unassign(partitions)

    def on_assign(client: Consumer, partitions: list[TopicPartition]) -> None:
        client.incremental_assign(partitions)
        assigned.set()

    def poll() -> None:
        while not ends.is_set():
            consumer.poll(0.05)

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke)
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert assigned.wait(30)
        yield revocations
    finally:
        ends.set()
        thread.join(10)
        consumer.close()


def test_a_crash_ends_a_server_once_and_lets_it_come_back() -> None:
    done: list[str] = []
    fault = Crash("broker", lambda: done.append("crash"), lambda: done.append("restart"))
    struck = Strike(fault)
    assert (struck.hit, done) == ("broker", ["crash"])
    assert Strike(fault).hit is None  # It is down already.
    struck.end()
    assert done == ["crash", "restart"]
    assert Strike(fault).hit == "broker"


@pytest.fixture
def pipe() -> Iterator[tuple[Proxy, socket.socket, socket.socket]]:
    """A proxy, and both ends of a connection through it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            end, _ = server.accept()
            with end:
                end.settimeout(10)
                client.sendall(b"first")
                assert end.recv(10) == b"first"
                yield proxy, client, end
        proxy.close()


def test_a_cut_breaks_the_connections(pipe: tuple[Proxy, socket.socket, socket.socket]) -> None:
    proxy, client, _ = pipe
    assert Strike(Cut("door", proxy)).hit == "1 connections"
    assert client.recv(10) == b""


def test_a_hold_lets_nothing_pass_until_it_is_over(pipe: tuple[Proxy, socket.socket, socket.socket]) -> None:
    proxy, client, end = pipe
    struck = Strike(Hold("door", proxy))
    client.sendall(b"late")
    end.settimeout(0.2)
    with pytest.raises(TimeoutError):
        end.recv(10)
    struck.end()
    end.settimeout(10)
    assert end.recv(10) == b"late"


def test_a_commit_breaks_its_connection_unless_the_time_is_over(postgres_url: str) -> None:
    url = make_url(postgres_url)
    proxy = Proxy(url.port)
    engine = create_engine(url.set(port=proxy.port))

    def commit() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))

    Strike(BreakAtCommit("source", proxy))
    with pytest.raises(OperationalError):
        commit()
    Strike(BreakAtCommit("source", proxy)).end()
    commit()
    assert proxy.commits_broken == 1
    engine.dispose()
    proxy.close()
