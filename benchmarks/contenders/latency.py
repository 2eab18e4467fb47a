"""How long it takes from a commit to a read model in another process, at a given rate of commits.

The clock is `time.monotonic_ns`, which the processes of one machine share. A writer takes the time before it
begins a commit; the reader's ends when the row's own commit has returned.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from sqlalchemy import Engine, create_engine, event, insert
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from benchmarks.contenders.publishing import (
    INPUT,
    Category,
    CategoryChanged,
    Replica,
    Unpublished,
    application,
    commit,
    engine_of,
)
from streambind import StreamApplication, stream_listener

Reader = Callable[[dict[str, Any], "Arrivals"], None]

_PARTITIONS = 4
_WRITERS = 4
_WARM_S = 2.0
_QUIET_S = 60.0
_BEGUN = "bench.begun"
"""Under which a connection knows when what it is about to commit began."""


class Arrivals:
    """The reader's: how long each took, in nanoseconds. `told` is the end of a pipe."""

    def __init__(self, total: int, told: Connection) -> None:
        self._total = total
        self._told = told
        self._found: list[int] = []

    def ready(self) -> None:
        self._told.send(None)

    def saw(self, begun_ns: list[int]) -> bool:
        """These are there now; whether there is more to come."""
        now = time.monotonic_ns()
        self._found += [now - each for each in begun_ns]
        if len(self._found) < self._total:
            return True
        self._told.send(self._found)
        return False


def bare(course: dict[str, Any]) -> dict[str, float]:
    """The limit: a commit, a message, and a commit by hand."""
    course = with_topic(course)
    sessions = sessionmaker(engine_of(course))
    producer = Producer({"bootstrap.servers": course["brokers"], "enable.idempotence": True, "linger.ms": 0})
    producer.list_topics(course["topic"])

    def write(now_ns: int) -> None:
        commit_by_hand(sessions.kw["bind"], now_ns)
        producer.produce(course["topic"], b"%d" % now_ns)
        producer.poll(0)

    return timed(course, read_by_hand, write)


def commit_by_hand(engine: Engine, now_ns: int) -> None:
    """One commit of a new entity, without the ORM."""
    with engine.begin() as connection:
        row = {"name": "최종테스트", "description": "x" * 100, "begun_ns": now_ns}
        connection.execute(insert(Unpublished), row)


def streambind(course: dict[str, Any]) -> dict[str, float]:
    course = with_topic(course)
    sessions = sessionmaker(engine_of(course))
    with application(course, sessions):
        return timed(course, read_by_listener, lambda now_ns: commit(sessions, Category, 1, now_ns))


def read_by_hand(course: dict[str, Any], arrivals: Arrivals) -> None:
    engine = create_engine(course["database"])
    consumer = Consumer(
        {
            "bootstrap.servers": course["brokers"],
            "group.id": f"bench-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([course["topic"]])
    while not consumer.assignment():
        consumer.consume(1, 0.1)
    arrivals.ready()
    more = True
    while more:
        messages = consumer.consume(500, 0.002)
        if messages:
            begun = [int(message.value() or b"0") for message in messages]
            _keep(engine, begun)
            more = arrivals.saw(begun)


def _keep(engine: Engine, begun: list[int]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Replica), [{"name": str(each)} for each in begun])


def read_by_listener(course: dict[str, Any], arrivals: Arrivals) -> None:
    engine = create_engine(course["database"])
    sessions = sessionmaker(engine)
    done = threading.Event()

    @stream_listener(INPUT)
    def keep(change: CategoryChanged, session: Session) -> None:
        session.add(Replica(name=change.name))
        session.get_bind().info.setdefault(_BEGUN, []).append(change.begun_ns)  # type: ignore[union-attr]

    def returned(_: object, record: ConnectionPoolEntry) -> None:
        # Right after the COMMIT of the batch; a session's own after_commit comes before that.
        if (begun := record.info.pop(_BEGUN, [])) and not arrivals.saw(begun):
            done.set()

    event.listen(engine, "checkin", returned)
    event.listen(engine, "rollback", lambda connection: connection.info.pop(_BEGUN, None))
    text = f"""
        spring.cloud.stream:
          kafka.binder.brokers: {course["brokers"]}
          bindings.{INPUT}: {{destination: {course["topic"]}, group: bench-{uuid.uuid4()}}}
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_text(text)
        listening = StreamApplication(folder, database=sessions, include=[keep], arguments=[])
    with listening:
        while not listening.status()[0].partitions:
            time.sleep(0.05)
        arrivals.ready()
        done.wait()


def with_topic(course: dict[str, Any]) -> dict[str, Any]:
    """One of this turn's own: nothing of another one is read."""
    topic = f"bench-{uuid.uuid4().hex[:10]}"
    admin = AdminClient({"bootstrap.servers": course["brokers"]})
    admin.create_topics([NewTopic(topic, _PARTITIONS, 1)])[topic].result()
    return {**course, "topic": topic}


def timed(course: dict[str, Any], reader: Reader, write: Callable[[int], None]) -> dict[str, float]:
    """How long what `write` commits takes to where `reader`, in a process of its own, sees it."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_read, args=(reader, course, theirs))
    process.start()
    assert ours.poll(_QUIET_S)
    ours.recv()
    found = written(course, ours, write)
    process.join()
    return found


def total_of(course: dict[str, Any]) -> int:
    """How many commits there are."""
    return int(course["rate"] * (course["seconds"] + _WARM_S)) // _WRITERS * _WRITERS


def written(course: dict[str, Any], told: Connection, write: Callable[[int], None]) -> dict[str, float]:
    """Commit at the course's rate; percentiles, in milliseconds, of what is then told of the arrivals."""
    writers = [
        threading.Thread(target=_write, args=(write, total_of(course) // _WRITERS, course["rate"] / _WRITERS))
        for _ in range(_WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert told.poll(_QUIET_S), "not everything has arrived"
    found: list[int] = told.recv()
    steady = sorted(found[int(course["rate"] * _WARM_S) :])
    cuts = statistics.quantiles(steady, n=100)
    return {f"p{percent}": cuts[percent - 1] / 1e6 for percent in (50, 95, 99)}


def _read(reader: Reader, course: dict[str, Any], told: Connection) -> None:
    reader(course, Arrivals(total_of(course), told))


def _write(write: Callable[[int], None], count: int, rate: float) -> None:
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        write(time.monotonic_ns())
