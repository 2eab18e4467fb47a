"""Where services of a test run: a broker, a database for each, and configuration by the environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from streambind.binders.kafka import KAFKA
from streambind.binding.binder import Binder
from streambind.event_loop import EventLoop
from streambind.message import Message
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.services import FreshDatabases, FreshMySQLDatabases

_TIMEOUT_MS = 5_000


@dataclass(frozen=True)
class Stage:
    """One broker, and `new_database`, which gives the URL of an empty database with streambind's tables."""

    brokers: str
    new_database: Callable[[], str]

    @contextmanager
    def reader(self, topic: str) -> Iterator[TopicReader]:
        """Reads a topic from its beginning, without a group."""
        binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": self.brokers}))
        try:
            yield TopicReader(binder, topic)
        finally:
            binder.close(1000)


@dataclass
class TopicReader:
    """What a topic holds, in the order of each partition; `records` grows with `read`."""

    binder: Binder
    topic: str
    records: list[Message] = field(default_factory=list)
    _positions: dict[int, int] = field(default_factory=dict)

    def read(self, count: int, within_s: float) -> list[Message]:
        """All records so far, once there are `count` of them."""
        deadline = time.monotonic() + within_s
        while True:
            info = self.binder.describe(self.topic, _TIMEOUT_MS)
            for partition, start in () if info is None else info.starts.items():
                self._positions.setdefault(partition, start)
            if info is not None:
                self._take(info.ends)
            if len(self.records) >= count:
                return self.records
            assert time.monotonic() < deadline, f"{len(self.records)} of {count} records on {self.topic}"

    def _take(self, ends: Mapping[int, int]) -> None:
        behind = {p: o for p, o in self._positions.items() if o < ends.get(p, 0)}
        for message in self.binder.read(self.topic, behind, _TIMEOUT_MS) if behind else ():
            self._positions[message.partition or 0] = (message.offset or 0) + 1
            self.records.append(message)


@contextmanager
def server_databases(server: FreshDatabases | FreshMySQLDatabases) -> Iterator[Callable[[], str]]:
    """Databases of a server, dropped again."""
    made: list[str] = []

    def new_database() -> str:
        url = server.new_database()
        made.append(url)
        prepare(url)
        return url

    try:
        yield new_database
    finally:
        for url in made:
            server.drop_database(url)


def sqlite_databases(folder: Path) -> Callable[[], str]:
    """Files in a folder."""
    made: list[str] = []

    def new_database() -> str:
        url = f"sqlite:///{folder / f'service-{len(made)}.db'}"
        made.append(url)
        return url

    return new_database


def prepare(url: str) -> None:
    """Create streambind's tables, as an operator does before the first start."""
    engine = create_engine(url)
    try:
        create_tables(Database(sessionmaker(engine), loop=EventLoop()))
    finally:
        engine.dispose()
