"""What parked keys cost those that are not parked, in a service's own database.

Delivers the same batches, without a broker, in turns: with the look for parked keys and without it; with nothing
parked, with ten thousand messages behind one parked key, and while a worker drains that key. Ratios count;
absolute figures depend on the machine.

    python benchmarks/parking.py --database postgresql+psycopg://postgres@localhost/empty
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

from pydantic import BaseModel
from sqlalchemy import create_engine, delete, update
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


class Base(DeclarativeBase):
    pass


class Row(Base):
    """What the handler writes."""

    __tablename__ = "benchmark_row"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]


class Thing(BaseModel):
    key: str


class Service:
    """One input; its handler fails at the key `hot` until it is told otherwise."""

    def __init__(self, url: str) -> None:
        engine = create_engine(url)
        self.database = Database(sessionmaker(engine), loop=EventLoop())
        self.fails = True
        create_tables(self.database)
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        parking = ParkingProperties(back_off_initial_interval_ms=0, mass_failure_keys=10**6)
        properties = BindingProperties(
            destination=LANE.destination,
            group="benchmark",
            consumer=ConsumerProperties(max_attempts=1, parking=parking),
        )
        self.plan = InputPlan.build(
            "in-things",
            properties,
            listeners=[ListenerMark(self._handle, "in-things")],
            surroundings=Surroundings(loop=self.database.loop, database=self.database),
        )
        self.clear()

    def _handle(self, thing: Thing, session: Session) -> None:
        if thing.key == "hot" and self.fails:
            raise ValueError("hot")
        session.add(Row(key=thing.key))

    def clear(self) -> None:
        tables = self.database.tables
        for table in (tables.position, tables.parked_key, tables.parked, Row.__table__):
            self.database.run(lambda c, table=table: c.execute(delete(table)))  # type: ignore[misc]
        assert self.plan.positions is not None
        self.plan.positions.adopt({LANE: (0, "earliest")}, {})
        self.position = 0

    def settle(self) -> None:
        """Let the database end what earlier cases left it to do: it would do it meanwhile."""
        with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")

    def measure(self, keys: Sequence[str]) -> float:
        self.settle()
        return self.deliver(keys)

    def deliver(self, keys: Sequence[str]) -> float:
        """Seconds for the messages, in batches."""
        records = [_record(self.position + n, key) for n, key in enumerate(keys)]
        began = time.perf_counter()
        for start in range(0, len(records), BATCH):
            rest = records[start : start + BATCH]
            while rest:
                outcome = self.plan.deliver(MemoryBatch(LANE, self.position, rest))
                assert outcome.done, outcome
                self.position += outcome.done
                rest = rest[outcome.done :]
        return time.perf_counter() - began

    def park(self, messages: int) -> None:
        """Let so many wait behind one key, which no worker looks at."""
        self.clear()
        self.fails = True
        self.deliver(["hot"] * messages)
        self._due(2**60)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """What waits is handled meanwhile."""
        assert self.plan.worker is not None
        self.fails = False
        self._due(0)
        self.plan.worker.start()
        try:
            yield
        finally:
            self.plan.worker.stop(60_000)

    def _due(self, next_ms: int) -> None:
        table = self.database.tables.parked_key
        self.database.run(lambda c: c.execute(update(table).values(next_ms=next_ms)))


def _record(offset: int, key: str) -> Record:
    return Record(offset, 0, key.encode(), f'{{"key":"{key}"}}'.encode(), ())


def others(count: int) -> list[str]:
    return [f"k{n % 1000}" for n in range(count)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--database", required=True)
    arguments.add_argument("--messages", type=int, default=5_000)
    arguments.add_argument("--parked", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    service = Service(given.database)

    def nothing_parked(keys: list[str]) -> float:
        service.clear()
        service.fails = False
        return service.measure(keys)

    def without_looking() -> float:
        with mock.patch.object(ParkedKeys, "waiting", return_value=[]):
            return nothing_parked(alone)

    def behind(keys: list[str]) -> float:
        service.park(given.parked)
        return service.measure(keys)

    def draining() -> float:
        service.park(given.parked)
        service.settle()
        with service.worker():
            return service.deliver(alone)

    alone = others(given.messages)
    joined = [each for n, key in enumerate(alone) for each in ((key, "hot") if n % 2 else (key,))]
    cases: list[tuple[str, Callable[[], float]]] = [
        ("without looking for parked keys", without_looking),
        (f"{given.parked} messages wait behind one key", lambda: behind(alone)),
        ("... and a worker drains them meanwhile", draining),
    ]
    compare("nothing parked", lambda: nothing_parked(alone), cases, given)
    more: list[tuple[str, Callable[[], float]]] = [("... and they join what waits", lambda: behind(joined))]
    compare("a third is of one key, not parked", lambda: nothing_parked(joined), more, given)


def compare(
    name: str, base: Callable[[], float], cases: list[tuple[str, Callable[[], float]]], given: argparse.Namespace
) -> None:
    """Print how the cases do beside the base, in turns, each at its best; 1 is as fast as the base."""
    base()
    seconds: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for each, case in [(name, base), *cases]:
            seconds.setdefault(each, []).append(case())
    for each, times in seconds.items():
        rate, ratio = given.messages / min(times), min(seconds[name]) / min(times)
        print(f"{each:45} {rate:8.0f} other messages/s   {ratio:5.2f}")


if __name__ == "__main__":
    main()
