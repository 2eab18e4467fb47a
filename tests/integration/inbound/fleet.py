"""A fleet of instances that read one log, simulated step by step with a seed: crashes, zombies, repeated records.

No threads, and a clock that only the steps move: a seed says all that happens, however busy the machine is. The
steps interleave between deliveries; what happens within one is the matter of other tests.
"""

from __future__ import annotations

import random
from copy import copy
from dataclasses import dataclass, field

from sqlalchemy import BigInteger, Connection, create_engine, delete, event, insert, literal_column, select, update
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import StaticPool

from streambind.binding.binder import Lane
from streambind.binding.outcome import Seek, Stop
from streambind.configuration.properties import BindingProperties, ConsumerProperties, ParkingProperties
from streambind.event_loop import EventLoop
from streambind.failpoints import FailpointError
from streambind.inbound.input import InputPlan
from streambind.inbound.listener import ListenerMark
from streambind.inbound.surroundings import Surroundings
from streambind.message import boundary
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.inbound.crashes import crashing_at
from tests.integration.inbound.service import DESTINATION, GROUP, Base, Effect, Event
from tests.integration.inbound.service import event as event_of
from tests.unit.inbound.batches import ListBatch, Record, numbered

LANES = [Lane(DESTINATION, 0), Lane(DESTINATION, 1)]
POINTS = [
    f"delivery.{each}" for each in ("after_poll", "after_position", "in_handler", "before_commit", "after_commit")
]
PARKING_POINTS = [f"parking.{each}" for each in ("after_set_aside", "after_key", "after_message", "after_commit")]
RETRY_POINTS = [
    f"parking.{each}" for each in ("after_claim", "after_handler", "after_delete", "before_commit", "after_retry")
]


class SteppedDatabase(Database):
    """In memory, with streambind's tables. Its clock stands at `now_ms`."""

    def __init__(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        super().__init__(sessionmaker(engine), loop=EventLoop())
        self.now_ms = 0
        event.listen(engine, "connect", lambda dbapi, _: dbapi.create_function("stepped_ms", 0, self._now))
        self.dialect = copy(self.dialect)
        self.dialect.now_ms = literal_column("stepped_ms()", BigInteger)
        create_tables(self)
        self.run(lambda connection: Base.metadata.create_all(connection))

    def _now(self) -> int:
        return self.now_ms


@dataclass
class Faults:
    """What may happen, and how often. `strays`: a run of a key goes to another partition than its others."""

    crash: float = 0.2
    zombie: float = 0.3
    fails: float = 0.05
    repeats: float = 0.3
    strays: float = 0.0


@dataclass
class Instance:
    """One process: what it holds in memory is gone with a crash."""

    plan: InputPlan
    positions: dict[Lane, int] = field(default_factory=dict)
    held: dict[Lane, ListBatch] = field(default_factory=dict)


class Fleet:
    """`sequence`: trust or ignore. `broker_offsets`: no session, the broker's committed offsets only. `parks`: a
    failing message is parked at once, and any instance tries it again."""

    def __init__(
        self,
        database: SteppedDatabase,
        seed: int,
        *,
        faults: Faults,
        sequence: str = "trust",
        broker_offsets: bool = False,
        parks: bool = False,
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.faults = faults
        self.broker_offsets = broker_offsets
        self.committed = dict.fromkeys(LANES, 0)
        self.logs: dict[Lane, list[Record]] = {lane: [] for lane in LANES}
        self.sent: dict[str, int] = {}
        self.stops: list[BaseException] = []
        self._database = database
        self._sequence = sequence
        self._parks = parks
        self._is_calm = False
        database.run(self._empty)
        self.instances = [self._instance() for _ in range(3)]
        self.owner = dict.fromkeys(LANES, 0)
        self._adopt()

    def run(self, steps: int) -> list[str]:
        """Let things happen, then drain; returns what is wrong with the effects."""
        happens = [self._send, self._send, self._deliver, self._deliver, self._move]
        happens += [self._retry, self._retry] if self._parks else []
        pauses = random.Random(self.seed)
        for _ in range(steps):
            self._database.now_ms += pauses.randrange(200)
            self.random.choice(happens)()
        self._is_calm = True
        for lane in LANES:
            self._take_over(lane, Instance(self._instance().plan))
        if self._parks:
            self._drain_parked()
        return self._violations()

    def _violations(self) -> list[str]:
        wrong: list[str] = [f"stopped: {error}" for error in self.stops]
        for key, count in self.sent.items():
            found = self._effects(key)
            if found != list(range(1, count + 1)):
                wrong.append(f"{key}: effects {found}, sent {count}")
        waiting = self._database.run(lambda c: c.execute(select(self._database.tables.parked)).all())
        wrong += [f"still parked: {row.key!r} {row.seq}" for row in waiting]
        return wrong

    def _instance(self) -> Instance:
        listener = self._keeps_by_itself if self.broker_offsets else self._keeps
        properties = BindingProperties(
            destination=DESTINATION,
            group=GROUP,
            consumer=self._consumer(),
        )
        plan = InputPlan.build(
            "in-things",
            properties,
            listeners=[ListenerMark(listener, "in-things")],
            surroundings=Surroundings(loop=self._database.loop, database=self._database),
        )
        return Instance(plan)

    def _consumer(self) -> ConsumerProperties:
        if not self._parks:
            return ConsumerProperties(sequence=self._sequence, max_attempts=1000, on_error="stop")
        never = 10**6
        parking = ParkingProperties(
            back_off_initial_interval_ms=0, max_attempts=never, gap_timeout_ms=never, mass_failure_keys=never
        )
        return ConsumerProperties(sequence=self._sequence, max_attempts=1, on_error="park", parking=parking)

    def _keeps(self, event: Event, session: Session) -> None:
        session.add(Effect(key=event.key, number=event.number))
        self._perhaps_fail()

    def _keeps_by_itself(self, event: Event) -> None:
        self._perhaps_fail()
        self._database.run(lambda c: c.execute(insert(Effect).values(key=event.key, number=event.number)))

    def _perhaps_fail(self) -> None:
        if not self._is_calm and self.random.random() < self.faults.fails:
            raise ValueError("not yet")

    # What happens

    def _send(self) -> None:
        """The next events of a key; perhaps the relay repeats a run of them, or an older one."""
        key = f"k{self.random.randrange(4)}"
        log = self.logs[LANES[(int(key[1:]) + (self.random.random() < self.faults.strays)) % 2]]
        first = self.sent.get(key, 0) + 1
        last = first + self.random.randrange(3)
        self.sent[key] = last
        runs = [(first, last)]
        while self.random.random() < self.faults.repeats:
            runs.append((self.random.randint(1, last), last))
        for start, end in runs:
            log.extend(numbered(event_of(key, n), key, n) for n in range(start, end + 1))

    def _move(self) -> None:
        """A partition goes to another instance; the old one may not have noticed, and go on as a zombie."""
        lane = self.random.choice(LANES)
        old = self.instances[self.owner[lane]]
        if self.random.random() >= self.faults.zombie:
            old.positions.pop(lane, None)
            old.held.pop(lane, None)
        self.owner[lane] = self.random.randrange(len(self.instances))

    def _deliver(self) -> None:
        number = self.random.randrange(len(self.instances))
        instance = self.instances[number]
        lane = self.random.choice(LANES)
        if self.owner[lane] != number and lane not in instance.held:
            return
        self._fetch(instance, lane)
        if self.random.random() < self.faults.crash:
            with crashing_at(self.random.choice(POINTS + PARKING_POINTS if self._parks else POINTS)):
                try:
                    self._deliver_held(instance, lane)
                except FailpointError:
                    self.instances[number] = self._instance()
        else:
            self._deliver_held(instance, lane)
        if self.random.random() < 0.5:
            # A batch that lies in memory when its partition moves is what makes a zombie dangerous.
            self._fetch(self.instances[number], lane)

    def _retry(self) -> None:
        """Some instance tries a parked message, and perhaps dies."""
        number = self.random.randrange(len(self.instances))
        worker = self.instances[number].plan.worker
        assert worker is not None
        if self.random.random() < self.faults.crash:
            with crashing_at(self.random.choice(RETRY_POINTS)):
                try:
                    worker.retry.turn()
                except FailpointError:
                    self.instances[number] = self._instance()
        else:
            worker.retry.turn()

    def _drain_parked(self) -> None:
        """Gaps are looked at now, not when their time comes."""
        table = self._database.tables.parked_key
        worker = self.instances[0].plan.worker
        assert worker is not None
        for _ in range(1_000):
            self._database.run(lambda c: c.execute(update(table).values(next_ms=0)))
            if not worker.retry.turn().claimed:
                return
        raise AssertionError("parked keys never drain")

    def _fetch(self, instance: Instance, lane: Lane) -> None:
        if lane in instance.held:
            return
        position = instance.positions.get(lane)
        if position is None:
            position = self._start(instance, lane)
        records = self.logs[lane][position : position + self.random.randint(1, 4)]
        instance.positions[lane] = position
        if records:
            instance.held[lane] = ListBatch(records, position, lane.destination, lane.partition)

    def _deliver_held(self, instance: Instance, lane: Lane) -> None:
        batch = instance.held.get(lane)
        if batch is None:
            return
        outcome = instance.plan.deliver(batch)
        rest = batch.after(outcome.done)
        instance.positions[lane] = boundary(batch, outcome.done)
        self.committed[lane] = boundary(batch, outcome.done)
        instance.held.pop(lane)
        if isinstance(outcome.then, Seek):
            instance.positions[lane] = outcome.then.offset
        elif isinstance(outcome.then, Stop):
            self.stops.append(outcome.then.error)
        elif rest is not None:
            instance.held[lane] = rest

    def _take_over(self, lane: Lane, instance: Instance) -> None:
        for _ in range(1_000):
            self._fetch(instance, lane)
            if lane not in instance.held or self.stops:
                return
            self._deliver_held(instance, lane)
        raise AssertionError("the log is never at its end")

    # What is kept

    def _start(self, instance: Instance, lane: Lane) -> int:
        return (
            self.committed[lane] if instance.plan.positions is None else instance.plan.positions.read([lane])[lane]
        )

    def _adopt(self) -> None:
        positions = self.instances[0].plan.positions
        if positions is not None:
            positions.adopt(dict.fromkeys(LANES, (0, "earliest")), {})

    def _effects(self, key: str) -> list[int]:
        query = select(Effect.number).where(Effect.key == key).order_by(Effect.id)
        return self._database.run(lambda c: list(c.scalars(query)))

    def _empty(self, connection: Connection) -> None:
        tables = self._database.tables
        parked = (tables.parked_key, tables.parked)
        for table in (tables.position, tables.guard, *parked, Base.metadata.tables["effect"]):
            connection.execute(delete(table))
