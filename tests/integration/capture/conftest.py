"""A service whose sessionmaker is captured, on every engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, create_engine, delete, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from streambind.configuration.properties import Publish
from streambind.conversion import JSON
from streambind.event_loop import EventLoop, await_result
from streambind.outbound.capture import Capture
from streambind.outbound.outgoing import Outgoing, OutputPlan
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.persistence.stored_headers import load_headers
from tests.integration.capture.models import CLASSES, METADATA
from tests.integration.urls import drivers, server_of, through
from tests.services import FreshDatabases, FreshMySQLDatabases

T = TypeVar("T")

ENGINES = drivers(
    *("sqlite", "sqlite+aiosqlite"),
    *("postgresql+psycopg", "postgresql+psycopg async", "postgresql+asyncpg"),
    *("mysql+pymysql", "mariadb+asyncmy"),
)
AND_MYSQL = [*ENGINES, *drivers("mysql8+asyncmy")]
"""For modules that run on MySQL as well."""
ASYNC_ENGINES = [ENGINES[1], *ENGINES[3:5], ENGINES[6]]
SYNC_ENGINES = [ENGINES[0], ENGINES[2], ENGINES[5]]
BINDINGS = [
    *(
        "categoryChanged",
        "lectureChanged",
        "seatChanged",
        "roomChanged",
        "nodeChanged",
        "animalChanged",
        "pageChanged",
    ),
    *(
        "carChanged",
        "ticketChanged",
        "teacherChanged",
        "pointChanged",
        "summary",
        "tombstones",
        "both",
        "bytes",
        "small",
        "late",
        "direct",
    ),
]


@dataclass(frozen=True)
class Event:
    """A row of the outbox, read."""

    binding: str
    destination: str
    key: str | None
    seq: int | None
    payload: bytes | None
    headers: Mapping[str, bytes | None]
    event_id: UUID
    shard: int

    @property
    def json(self) -> Any:
        return None if self.payload is None else json.loads(self.payload)

    @property
    def short(self) -> tuple[str | None, int | None, str | None]:
        """Key, number, job; a tombstone has no job."""
        job = self.json["jobType"] if self.payload and b"jobType" in self.payload else None
        return self.key, self.seq, job


def outputs() -> dict[str, OutputPlan]:
    encoder = JSON.encoder(UTC)
    plans = {f"out-{name}": OutputPlan(f"out-{name}", name, encoder) for name in BINDINGS}
    plans["out-tombstones"] = OutputPlan("out-tombstones", "tombstones", encoder, deletes="tombstone")
    plans["out-both"] = OutputPlan("out-both", "both", encoder, deletes="event-and-tombstone")
    plans["out-small"] = OutputPlan("out-small", "small", encoder, max_payload_bytes=10)
    plans["out-late"] = OutputPlan("out-late", "late", encoder, publish=Publish.AFTER_COMMIT)
    plans["out-direct"] = OutputPlan("out-direct", "direct", encoder, publish=Publish.DIRECT)
    return plans


@dataclass
class Service:
    """One service: its database, its capture, and what came out."""

    database: Database
    plans: Mapping[str, OutputPlan]
    classes: Sequence[type] = tuple(CLASSES)
    woken: list[None] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)
    trouble: Exception | None = None

    def __post_init__(self) -> None:
        self.capture = self.new_capture()

    def new_capture(self, classes: Sequence[type] | None = None) -> Capture:
        return Capture(
            self.database,
            self.classes if classes is None else classes,
            outputs=self.plans,
            wake=lambda: self.woken.append(None),
            send_after_commit=self._send,
        )

    def _send(self, messages: Sequence[Outgoing]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.sent.extend(messages)

    def do(self, work: Callable[[Session], T]) -> T:
        """Run `work` with a session that is closed afterwards; committing is the work's business."""
        sessions = self.database.sessions
        if not isinstance(sessions, async_sessionmaker):
            with sessions() as session:
                return work(session)

        def on_loop() -> T:
            asynchronous = sessions()
            try:
                return work(asynchronous.sync_session)
            finally:
                await_result(asynchronous.close())

        return self.database.loop.call(on_loop)

    def commit(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a session and commit it."""

        def committed(session: Session) -> T:
            result = work(session)
            session.commit()
            return result

        return self.do(committed)

    def connected(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a connection in a transaction of its own."""
        return self.database.run(work)

    @property
    def events(self) -> list[Event]:
        """Everything in the outbox, in order."""
        outbox = self.database.tables.outbox
        rows = self.database.run(lambda c: c.execute(select(outbox).order_by(outbox.c.id)).all())
        return [
            Event(
                row.binding,
                row.destination,
                None if row.key is None else row.key.decode(),
                row.seq,
                row.payload,
                dict(load_headers(row.headers)),
                row.event_id,
                row.shard,
            )
            for row in rows
        ]

    @property
    def shorts(self) -> list[tuple[str | None, int | None, str | None]]:
        return [event.short for event in self.events]

    @property
    def dialect(self) -> str:
        return self.database.dialect.name

    @property
    def captures_inserts(self) -> bool:
        """Whether the database returns the rows of INSERT statements: MySQL does not."""
        return self.database.engine.dialect.insert_returning


def make_service(url: str, *, asynchronous: bool = False, **session_options: Any) -> Service:
    """A service with all tables and with capture attached. Close it with `close_service`."""
    loop = EventLoop()
    if asynchronous:
        database = Database(async_sessionmaker(create_async_engine(url), **session_options), loop=loop)
    else:
        database = Database(sessionmaker(create_engine(url), **session_options), loop=loop)
    create_tables(database)
    for metadata in METADATA:
        database.run(metadata.create_all)
    service = Service(database, outputs())
    service.capture.attach()
    return service


def close_service(service: Service) -> None:
    service.capture.detach()
    service.database.dispose()
    service.database.loop.close()


def reset(service: Service) -> None:
    """Capturing, and as new: no rows, no counters, nothing woken or sent."""
    service.capture.detach()
    tables = [*service.database.tables.metadata.sorted_tables]
    tables = [t for t in tables if t.name in ("sb_key", "sb_outbox", "sb_snapshot")]
    tables += [t for metadata in METADATA for t in reversed(metadata.sorted_tables)]

    def empty(connection: Connection) -> None:
        if service.dialect == "postgresql":
            connection.exec_driver_sql(f"TRUNCATE {', '.join(t.name for t in tables)}")
            return
        if service.dialect == "mysql":  # where a row that points to itself cannot go
            connection.exec_driver_sql("SET foreign_key_checks = 0")
        for table in tables:
            connection.execute(delete(table))
        if service.dialect == "mysql":
            connection.exec_driver_sql("SET foreign_key_checks = 1")

    service.connected(empty)
    service.capture.attach()
    service.woken.clear()
    service.sent.clear()
    service.trouble = None


def engine_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service on the engine that the fixture's parameter names."""
    driver, _, kind = str(request.param).partition(" ")
    asynchronous = kind == "async" or driver.endswith(("aiosqlite", "asyncpg", "asyncmy"))
    if driver.startswith("sqlite"):
        folder = request.getfixturevalue("tmp_path_factory").mktemp("capture")
        made = make_service(f"{driver}:///{folder / 'service.db'}", asynchronous=asynchronous)
        yield made
        close_service(made)
        return
    databases: FreshDatabases | FreshMySQLDatabases = request.getfixturevalue(server_of(driver))
    url = databases.new_database()
    made = make_service(through(driver, url), asynchronous=asynchronous)
    yield made
    close_service(made)
    databases.drop_database(url)


@pytest.fixture(scope="module", params=ENGINES)
def any_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture(scope="module", params=ASYNC_ENGINES)
def any_async_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture(scope="module", params=ENGINES[2:5])
def any_postgres_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture(scope="module", params=SYNC_ENGINES)
def any_sync_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture
def service(any_service: Service) -> Service:
    """A captured service on every kind of engine, synchronous and asynchronous."""
    reset(any_service)
    return any_service


@pytest.fixture
def async_service(any_async_service: Service) -> Service:
    """One on asynchronous engines: for what users await."""
    reset(any_async_service)
    return any_async_service


@pytest.fixture
def postgres_service(any_postgres_service: Service) -> Service:
    """One on PostgreSQL."""
    reset(any_postgres_service)
    return any_postgres_service


@pytest.fixture
def sync_service(any_sync_service: Service) -> Service:
    """One on synchronous engines: for what is about connections and threads rather than engines."""
    reset(any_sync_service)
    return any_sync_service
