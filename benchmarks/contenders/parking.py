"""Batches delivered without a broker to a handler that writes a row; before, or meanwhile, keys are parked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from unittest import mock

from pydantic import BaseModel
from sqlalchemy import create_engine, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from streambind.binders.memory.log import MemoryBatch, Record
from streambind.binding.binder import Lane
from streambind.configuration.parking_properties import ParkingProperties
from streambind.configuration.properties import BindingProperties, ConsumerProperties
from streambind.event_loop import EventLoop
from streambind.inbound.input import InputPlan
from streambind.inbound.listener import ListenerMark
from streambind.inbound.parked_keys import ParkedKeys
from streambind.inbound.surroundings import Surroundings
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables

LANE = Lane("things", 0)
BATCH = 500
HOT = "hot"


class Base(DeclarativeBase):
    pass


class Row(Base):
    """What the handler writes."""

    __tablename__ = "bench_row"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]


class Thing(BaseModel):
    key: str


def nothing_parked(course: dict[str, Any]) -> dict[str, float]:
    return _Service(course).rate(_others(course))


def without_looking(course: dict[str, Any]) -> dict[str, float]:
    with mock.patch.object(ParkedKeys, "waiting", return_value=[]):
        return nothing_parked(course)


def behind_one_key(course: dict[str, Any]) -> dict[str, float]:
    service = _Service(course)
    service.park(course["parked"])
    return service.rate(_others(course))


def while_it_drains(course: dict[str, Any]) -> dict[str, float]:
    service = _Service(course)
    service.park(course["parked"])
    with service.worker():
        return service.rate(_others(course))


def a_third_not_parked(course: dict[str, Any]) -> dict[str, float]:
    return _Service(course).rate(_joined(course))


def a_third_joins(course: dict[str, Any]) -> dict[str, float]:
    service = _Service(course)
    service.park(course["parked"])
    return service.rate(_joined(course))


def _others(course: dict[str, Any]) -> list[str]:
    return [f"k{n % 1000}" for n in range(course["messages"])]


def _joined(course: dict[str, Any]) -> list[str]:
    return [each for n, key in enumerate(_others(course)) for each in ((key, HOT) if n % 2 else (key,))]


class _Service:
    """One input; its handler fails at the key `hot` until it is told otherwise."""

    def __init__(self, course: dict[str, Any]) -> None:
        engine = create_engine(course["database"])
        self.database = Database(sessionmaker(engine), loop=EventLoop())
        self._fails = False
        self._position = 0
        create_tables(self.database)
        Base.metadata.create_all(engine)
        parking = ParkingProperties(back_off_initial_interval_ms=0, mass_failure_keys=10**6)
        properties = BindingProperties(
            destination=LANE.destination,
            group="bench",
            consumer=ConsumerProperties(max_attempts=1, parking=parking),
        )
        self._plan = InputPlan.build(
            "in-things",
            properties,
            listeners=[ListenerMark(self._handle, "in-things")],
            surroundings=Surroundings(loop=self.database.loop, database=self.database),
        )
        assert self._plan.positions is not None
        self._plan.positions.adopt({LANE: (0, "earliest")}, {})

    def rate(self, keys: Sequence[str]) -> dict[str, float]:
        """Messages per second, those of the key `hot` not counted."""
        self._settle()
        began = perf_counter()
        self._deliver(keys)
        return {"rate": sum(key != HOT for key in keys) / (perf_counter() - began)}

    def park(self, messages: int) -> None:
        """Let so many wait behind one key, which no worker looks at."""
        self._fails = True
        self._deliver([HOT] * messages)
        self._due(2**60)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """What waits is handled meanwhile."""
        assert self._plan.worker is not None
        self._settle()
        self._fails = False
        self._due(0)
        self._plan.worker.start()
        try:
            yield
        finally:
            self._plan.worker.stop(60_000)

    def _handle(self, thing: Thing, session: Session) -> None:
        if thing.key == HOT and self._fails:
            raise ValueError(HOT)
        session.add(Row(key=thing.key))

    def _settle(self) -> None:
        """Let the database end what it has been left to do: it would do it meanwhile."""
        with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")

    def _deliver(self, keys: Sequence[str]) -> None:
        records = [_record(self._position + n, key) for n, key in enumerate(keys)]
        for start in range(0, len(records), BATCH):
            rest = records[start : start + BATCH]
            while rest:
                outcome = self._plan.deliver(MemoryBatch(LANE, self._position, rest))
                assert outcome.done, outcome
                self._position += outcome.done
                rest = rest[outcome.done :]

    def _due(self, next_ms: int) -> None:
        table = self.database.tables.parked_key
        self.database.run(lambda c: c.execute(update(table).values(next_ms=next_ms)))


def _record(offset: int, key: str) -> Record:
    return Record(offset, 0, key.encode(), f'{{"key":"{key}"}}'.encode(), ())
