"""The two services of the fault tests on one broker, each with a database, and the history that they leave."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from streambind import JobType
from streambind.binders.kafka import KAFKA
from streambind.binding.binder import Binder
from streambind.errors import BrokerError
from streambind.inbound.letter import Letter, read_letter
from streambind.persistence.tables import Tables
from streambind.testing.chaos import Change, History, Violation, violations
from streambind.testing.eventually import eventually
from tests.acceptance.services import ServiceProcess, Services
from tests.acceptance.stage import Stage
from tests.faults import effects, mirrors, source

REPLICA = {"LISTENER": "replica"}  # The copy is a replica, with a listener beside it that keeps the log.
BOTH = pytest.mark.parametrize("listener", [{}, REPLICA], ids=["listener", "replica"])
WRITTEN = 60  # Changes on the topic of `written`, which many groups read.
DRAIN_S = 45.0
_TIMEOUT_MS = 5_000
_SB = Tables()


@dataclass
class World:
    """One topic, the service that writes to it and one that reads from it; neither is started."""

    stage: Stage
    services: Services
    binder: Binder
    source_url: str
    topic: str = field(default_factory=lambda: f"items-{uuid.uuid4().hex[:8]}")
    group: str = field(default_factory=lambda: f"effects-{uuid.uuid4().hex[:8]}")
    _engines: dict[str, Engine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.effects_url = self.stage.new_database()
        effects.Base.metadata.create_all(self._engine(self.effects_url))
        source.Base.metadata.create_all(self._engine(self.source_url))

    def source(self, changes: int, **environment: str) -> ServiceProcess:
        """The writing service, started: commits until there are `changes` of them (0: until it is stopped)."""
        settings = {"CHANGES": str(changes), **self._settings(self.source_url)}
        process = self.services.program("source", "tests.faults.source", settings)
        process.start(**environment)
        return process

    def load(self, **environment: str) -> ServiceProcess:
        """The service that writes as fast as it can, started: commits until it is stopped."""
        process = self.services.program("load", "tests.faults.load", self._settings(self.source_url))
        process.start(**environment)
        return process

    def relay(self, name: str, /, **environment: str) -> ServiceProcess:
        """A process that only sends what is in the source's outbox, started."""
        process = self.services.program(name, "tests.faults.relaying", self._settings(self.source_url))
        process.start(**environment)
        return process

    def effects(self, name: str = "effects", /, **environment: str) -> ServiceProcess:
        """An instance of the reading service, started."""
        settings = {"GROUP": self.group, **self._settings(self.effects_url)}
        process = self.services.program(name, "tests.faults.effects", settings)
        process.start(**environment)
        return process

    def prepare_mirrors(self) -> None:
        """The tables of `tests.faults.mirrors`, which are held against the source too from now on."""
        mirrors.Base.metadata.create_all(self._engine(self.effects_url))

    def create_topic(self, partitions: int) -> None:
        """Before anybody asks for it: who comes first decides how many partitions it has."""
        admin = AdminClient({"bootstrap.servers": self.stage.brokers, "log_level": "0"})
        for made in admin.create_topics([NewTopic(self.topic, partitions)]).values():
            made.result(_TIMEOUT_MS / 1000)

    def committed(self) -> int:
        """How many changes the source has committed."""
        return self._count(self.source_url, select(func.count()).select_from(source.Committed))

    def waiting(self) -> int:
        """How many changes wait in the source's outbox."""
        return self._count(self.source_url, select(func.count()).select_from(_SB.outbox))

    def handled(self) -> int:
        """How many effects there are."""
        return self._count(self.effects_url, select(func.count()).select_from(effects.Effect))

    def passed_on(self) -> int:
        """How many changes of its copies the reading service has published in turn."""
        return self._count(self.effects_url, select(func.coalesce(func.sum(_SB.key.c.seq), 0)))

    def parked(self) -> int:
        """How many messages wait behind parked keys."""
        mine = _SB.parked.c.group_name == self.group
        return self._count(self.effects_url, select(func.count()).select_from(_SB.parked).where(mine))

    def records(self) -> int:
        """How many records are on the topic: duplicates on the wire among them."""
        return sum(self._ends().values())

    def wait_until_drained(
        self, *services: ServiceProcess, by_offsets: bool = False, parked: int = 0, within_s: float = DRAIN_S
    ) -> None:
        """Until nothing is left to send or to handle, and just `parked` messages wait behind parked keys.
        `by_offsets`: Kafka's offsets say what is handled, not the positions in the database."""
        done = self._offsets if by_offsets else self._positions

        def drained() -> bool:
            dead = [service for service in services if service.exit_code]
            assert not dead, f"{dead[0].name} ended with {dead[0].exit_code}\n{dead[0].tail()}"
            try:
                waiting = self.waiting()
                ends = self._ends()
                waiting += 0 if by_offsets else abs(self.parked() - parked)
                return not waiting and bool(ends) and all(done().get(p, 0) == end for p, end in ends.items())
            except (DBAPIError, BrokerError):
                return False

        eventually(drained, within_s, lambda: "\n".join(["not drained", *(s.tail() for s in services)]))

    def broken_promises(self) -> list[Violation]:
        """What the checker finds."""
        return violations(self.history())

    def history(self) -> History:
        """What the databases say now."""
        with Session(self._engine(self.source_url)) as session:
            committed = [_change(row) for row in session.scalars(select(source.Committed).order_by("id"))]
            items = {item.item_id: item.version for item in session.scalars(select(source.Item))}
            outbox = session.scalar(select(func.count()).select_from(_SB.outbox)) or 0
        with Session(self._engine(self.effects_url)) as session:
            handled = [_change(row) for row in session.scalars(select(effects.Effect).order_by("id"))]
            counters = {row.item_id: row.value for row in session.scalars(select(effects.Counter))}
            copy = {row.item_id: row.version for row in session.scalars(select(effects.Copy))}
        copies = {"copy": copy, **mirrors.copies(self._engine(self.effects_url))}
        return History(committed, handled, counters=counters, source=items, copies=copies, outbox=outbox)

    def torn(self) -> list[str]:
        """Items whose copy is not what the effects so far make of it, as one look shows both: they come together,
        whoever dies or works on meanwhile."""
        engine = self._engine(self.effects_url).execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            last = {row.item_id: row for row in session.scalars(select(effects.Effect).order_by("id"))}
            made = {item: row.version for item, row in last.items() if row.job != JobType.DELETE}
            copy = {row.item_id: row.version for row in session.scalars(select(effects.Copy))}
        return [
            f"{item}: effects {made.get(item)}, copy {copy.get(item)}"
            for item in sorted({*made, *copy})
            if made.get(item) != copy.get(item)
        ]

    def letters(self) -> list[Letter]:
        """What is on the dead-letter topic, copies included."""
        destination = f"error.{self.topic}.{self.group}"
        info = self.binder.describe(destination, _TIMEOUT_MS)
        starts = {} if info is None else dict(info.starts)
        found: list[Letter] = []
        while starts and (records := self.binder.read(destination, starts, _TIMEOUT_MS)):
            found += [read_letter(record) for record in records]
            for record in records:
                starts[record.partition or 0] = (record.offset or 0) + 1
        return found

    def unsent_letters(self) -> int:
        """Dead letters in the outbox of the reading service."""
        return self._count(self.effects_url, select(func.count()).select_from(_SB.outbox))

    def close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()

    def _settings(self, url: str) -> dict[str, str]:
        return {"KAFKA_BROKERS": self.stage.brokers, "TOPIC": self.topic, "DATABASE_URL": url}

    def _ends(self) -> Mapping[int, int]:
        info = self.binder.describe(self.topic, _TIMEOUT_MS)
        return {} if info is None else info.ends

    def _offsets(self) -> Mapping[int, int]:
        return self.binder.committed(self.group, self.topic, _TIMEOUT_MS)

    def _positions(self) -> Mapping[int, int]:
        columns = _SB.position.c
        with self._engine(self.effects_url).connect() as connection:
            rows = connection.execute(
                select(columns.partition, columns.next_offset).where(columns.group_name == self.group)
            )
            return {row.partition: row.next_offset for row in rows}

    def _count(self, url: str, query: object) -> int:
        with self._engine(url).connect() as connection:
            return connection.scalar(query) or 0  # type: ignore[call-overload]

    def _engine(self, url: str) -> Engine:
        if url not in self._engines:
            self._engines[url] = create_engine(url, pool_pre_ping=True)
        return self._engines[url]


@contextmanager
def world(stage: Stage, services: Services, *, written: World | None = None) -> Iterator[World]:
    """A world of its own; of `written` it takes the source and the topic, and reads with another group."""
    binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": stage.brokers}))
    if written is None:
        made = World(stage, services, binder, stage.new_database())
    else:
        made = World(stage, services, binder, written.source_url, written.topic)
    try:
        yield made
    finally:
        made.close()
        binder.close(1000)


def _change(row: source.Committed | effects.Effect) -> Change:
    return Change(row.item_id, f"{row.job} {row.version}")
