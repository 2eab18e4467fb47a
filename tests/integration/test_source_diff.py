"""A replica against the rows of its source: what differs is found, and mended; what is on its way is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import String, delete, insert, inspect, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind.binding.binder import Lane
from streambind.configuration.properties import BindingProperties, ConsumerProperties
from streambind.event_loop import EventLoop
from streambind.inbound.input import InputPlan
from streambind.inbound.limits import Limits
from streambind.inbound.replicates import replicas_of, replicates
from streambind.inbound.surroundings import Surroundings
from streambind.outbound.outbox_status import count_rows
from streambind.outbound.publish import suppress_events
from streambind.outbound.wire_message import OutboxRow, row_message
from streambind.outbound.wire_message import Source as Origin
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.replicas import source_diff
from streambind.replicas.messages import MessageBatch
from streambind.replicas.repair import Repaired, repair
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source
from streambind.replicas.source_diff import SourceDiff, SourceDifference
from streambind.verification.source import SourceKeys
from streambind.verification.verdict import Given
from tests.integration.capture.conftest import Service, close_service, make_service, reset
from tests.integration.capture.models import Seat, SeatChanged
from tests.integration.urls import drivers, server_of

GROUP, TOPIC = "readers", "seatChanged"


class CopyBase(DeclarativeBase):
    """The read model's tables."""


class SeatColumns:
    """What copies of seats have in common."""

    room: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    guest: Mapped[str | None] = mapped_column(String(20))


class NotedColumns(SeatColumns):
    """The same, with a state and notes."""

    state: Mapped[str] = mapped_column(String(20))
    notes: Mapped[str | None] = mapped_column(String(20))


@replicates("in-seats", SeatChanged)
class SeatCopy(NotedColumns, CopyBase):
    __tablename__ = "seat_copy"


@replicates("in-seats", SeatChanged, condition="payload.guest == 'x'")
class GuestCopy(NotedColumns, CopyBase):
    __tablename__ = "guest_copy"


@replicates("in-seats", SeatChanged, condition=lambda message: "sb-snapshot" not in message.headers)
class ChangesCopy(NotedColumns, CopyBase):
    """Takes what has changed, and nothing that is sent again."""

    __tablename__ = "changes_copy"


@dataclass
class World:
    """A source, and a group that gets its events when the test says so."""

    source: Service
    reader: Database
    plan: InputPlan
    copy: Any = SeatCopy
    """The replica's class."""
    delivered: int = 0
    sent: list[Any] = field(default_factory=list)

    def deliver(self) -> None:
        """All that waits in the outbox, in its order."""
        table = self.source.database.tables.outbox
        columns = [table.c[name] for name in OutboxRow._fields]
        identity = self.source.database.tables.source
        query = select(*columns).where(table.c.destination == TOPIC).order_by(table.c.id)
        rows = self.source.database.run(lambda c: [OutboxRow(*row) for row in c.execute(query)])
        origin = self.source.database.run(lambda c: Origin(*c.execute(select(identity)).one()))
        for row in rows:
            message = row_message(row, origin)
            message.partition, message.offset, message.timestamp_ms = 0, self.delivered, 0
            batch = MessageBatch([message], position=self.delivered, next_offset=self.delivered + 1)
            assert self.plan.deliver(batch).done == 1
            self.delivered += 1
        self.source.database.run(lambda c: c.execute(delete(table)))

    def replica(self) -> Replica:
        (plan,) = self.plan.replicas
        limits = Limits.of(ConsumerProperties())
        return Replica(plan, "in-seats", GROUP, (TOPIC,), "application/json", UTC, limits)

    def publisher(self) -> Source:
        return Source(self.source.database, "out-seatChanged", TOPIC)

    def difference(self, *, limit: int = 100) -> SourceDifference:
        compared = SourceDiff(self.reader, self.replica(), self.publisher())
        return compared.run(limit=limit, progress=lambda _: None)

    def repair(self, *, force: bool = False) -> Repaired:
        return repair(self.reader, self.replica(), self.publisher(), self.difference(), force=force)

    def tables(self) -> set[str]:
        """The tables that commands have left behind."""
        names = self.reader.run(lambda connection: inspect(connection).get_table_names())
        return {name for name in names if name.startswith("sb_diff_")}

    def put(self, room: str, number: int, guest: str | None, *, silently: bool = False) -> None:
        def work(session: Session) -> None:
            if not silently:
                session.merge(Seat(room=room, number=number, guest=guest))
                return
            with suppress_events(session):
                session.merge(Seat(room=room, number=number, guest=guest))
                session.flush()

        self.source.commit(work)

    def remove(self, room: str, number: int) -> None:
        self.source.commit(lambda s: s.execute(delete(Seat).where(Seat.room == room, Seat.number == number)))

    def by_hand(self, statement: Any, rows: Any = None) -> None:
        self.reader.run(lambda connection: connection.execute(statement, rows))

    def copies(self) -> dict[tuple[str, int], str | None]:
        query = select(SeatCopy.room, SeatCopy.number, SeatCopy.guest)
        return {(room, number): guest for room, number, guest in self.reader.run(lambda c: c.execute(query).all())}

    def seats(self) -> dict[tuple[str, int], str | None]:
        query = select(Seat.room, Seat.number, Seat.guest)
        found = self.source.database.run(lambda c: c.execute(query).all())
        return {(room, number): guest for room, number, guest in found}

    def empty(self) -> None:
        reset(self.source)
        for table in (self.copy.__table__, self.reader.tables.guard, self.reader.tables.position):
            self.by_hand(delete(table))
        assert self.plan.positions is not None
        self.plan.positions.adopt({Lane(TOPIC, 0): (0, "earliest")}, {})
        self.delivered = 0


def seats_into(cls: type, reader: Database) -> InputPlan:
    """The input that keeps the class in step with seats."""
    properties = BindingProperties(destination=TOPIC, group=GROUP)
    marks = [mark for mark in replicas_of(cls) if mark.binding == "in-seats"]
    surroundings = Surroundings(loop=reader.loop, database=reader)
    return InputPlan.build("in-seats", properties, replicas=marks, surroundings=surroundings)


def _world(source_url: str, reader_url: str) -> Iterator[World]:
    source = make_service(source_url)
    loop = EventLoop()
    reader = Database.from_url(reader_url, loop=loop)
    create_tables(reader)
    reader.run(CopyBase.metadata.create_all)
    world = World(source, reader, seats_into(SeatCopy, reader))
    world.empty()
    yield world
    close_service(source)
    reader.dispose()
    loop.close()


@pytest.fixture(params=drivers("sqlite", "postgresql", "mysql"))
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Both in databases of one kind, each its own."""
    monkeypatch.setattr(source_diff, "_PAUSE_S", 0.0)
    if request.param == "sqlite":
        yield from _world(f"sqlite:///{tmp_path / 'source.db'}", f"sqlite:///{tmp_path / 'reader.db'}")
        return
    databases = request.getfixturevalue(server_of(request.param))
    urls = [databases.new_database() for _ in range(2)]
    yield from _world(*urls)
    for url in urls:
        databases.drop_database(url)


def found(difference: SourceDifference) -> dict[str, list[Any]]:
    return {kind: sorted(keys) for kind, keys in difference.difference.examples.items()}


def test_what_differs_is_found_and_mended(world: World) -> None:
    for number in range(1, 6):
        world.put("a", number, f"g{number}")
    world.put("b", 1, "never told", silently=True)
    world.deliver()
    world.by_hand(update(SeatCopy).where(SeatCopy.number == 1).values(guest="x"))
    world.by_hand(delete(SeatCopy).where(SeatCopy.number == 2))
    world.by_hand(insert(SeatCopy).values(room="z", number=1, state="free"))
    assert found(world.difference()) == {
        "wrong": [("a", 1)],
        "missing": [("a", 2), ("b", 1)],
        "extra": [("z", 1)],
    }
    assert world.repair() == Repaired(sent=3, removed=1)
    world.deliver()
    assert world.copies() == world.seats()
    assert world.difference().difference.is_none


def test_what_is_on_its_way_is_counted_apart(world: World) -> None:
    world.put("a", 1, "old")
    world.put("a", 2, "goes")
    world.deliver()
    world.put("a", 1, "new")
    world.put("a", 3, "comes")
    world.remove("a", 2)
    seen = world.difference()
    assert (found(seen), seen.moving) == ({}, 3)
    world.deliver()
    assert world.difference().moving == 0


def test_a_row_whose_deletion_arrives_while_it_is_looked_at_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("a", 1, "goes")
    world.deliver()
    world.remove("a", 1)
    looks: list[set[Any]] = []
    keys = source_diff._Comparing._keys

    def then_delivered(self: Any, query: Any) -> set[Any]:
        looks.append(keys(self, query))
        if len(looks) == 2:
            world.deliver()
        return looks[-1]

    monkeypatch.setattr(source_diff._Comparing, "_keys", then_delivered)
    seen = world.difference()
    assert looks == [{("a", 1)}, {("a", 1)}]
    assert (found(seen), seen.moving) == ({}, 1)
    assert world.copies() == {}


def test_rows_that_the_source_does_not_have_are_asked_for_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against another source they may be a million."""
    world.put("a", 1, "x")
    world.deliver()
    world.put("b", 1, "y")
    world.by_hand(insert(SeatCopy), [{"room": "b", "number": each, "state": "free"} for each in range(1, 31)])
    world.remove("b", 1)
    asked: list[int] = []
    ask = SourceKeys.given

    def given(self: SourceKeys, keys: Sequence[bytes]) -> dict[bytes, Given]:
        asked.append(len(keys))
        return ask(self, keys)

    monkeypatch.setattr(SourceKeys, "given", given)
    found = world.difference()
    assert (len(found.extra), found.moving, asked) == (29, 1, [30, 30])


def test_mending_does_not_overtake_what_is_written_meanwhile(world: World) -> None:
    world.put("a", 1, "old")
    world.deliver()
    world.by_hand(update(SeatCopy).values(guest="x"))
    seen = world.difference()
    world.put("a", 1, "newest")
    repair(world.reader, world.replica(), world.publisher(), seen)
    world.deliver()
    assert world.copies() == {("a", 1): "newest"}


@pytest.mark.parametrize(("cls", "chosen"), [(GuestCopy, [("a", 1)]), (ChangesCopy, [("a", 1), ("a", 2)])])
def test_a_condition_judges_rows_as_it_judges_their_changes(world: World, cls: Any, chosen: list[Any]) -> None:
    world = replace(world, copy=cls, plan=seats_into(cls, world.reader))
    world.empty()
    world.put("a", 1, "x")
    world.put("a", 2, "y")
    world.deliver()
    assert world.difference().difference.is_none
    world.by_hand(delete(cls))
    assert found(world.difference()) == {"missing": chosen}


def test_no_more_keys_are_shown_than_asked_for_and_all_are_counted(world: World) -> None:
    for number in range(1, 6):
        world.put("a", number, "g", silently=True)
    seen = world.difference(limit=2)
    assert (len(seen.difference.examples["missing"]), seen.difference.missing, len(seen.refs)) == (2, 5, 5)


def test_nothing_is_left_behind(world: World) -> None:
    world.put("a", 1, "g")
    database = world.source.database
    before = database.run(lambda c: count_rows(c, database))
    world.difference()
    assert database.run(lambda c: count_rows(c, database)) == before
    world.repair()
    assert world.tables() == set()


places = st.tuples(st.sampled_from("ab"), st.integers(1, 4))
guests = st.sampled_from([None, "x", "y"])
operations = st.one_of(
    st.tuples(st.just("put"), places, guests),
    st.tuples(st.just("silently"), places, guests),
    st.tuples(st.just("remove"), places),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("spoil"), places),
    st.tuples(st.just("lose"), places),
    st.tuples(st.just("invent"), places),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(script=st.lists(operations, max_size=15))
def test_what_is_found_is_what_differs_once_all_is_delivered_and_mending_mends_it(
    world: World, script: list[tuple[Any, ...]]
) -> None:
    world.empty()
    for operation in script:
        match operation:
            case "put", (room, number), guest:
                world.put(room, number, guest)
            case "silently", (room, number), guest:
                world.put(room, number, guest, silently=True)
            case "remove", (room, number):
                world.remove(room, number)
            case ("deliver",):
                world.deliver()
            case "spoil", (room, number):
                place = (SeatCopy.room == room, SeatCopy.number == number)
                world.by_hand(update(SeatCopy).where(*place).values(guest="spoilt"))
            case "lose", (room, number):
                world.by_hand(delete(SeatCopy).where(SeatCopy.room == room, SeatCopy.number == number))
            case "invent", (room, number) if (room, number) not in world.copies():
                world.by_hand(insert(SeatCopy).values(room=room, number=number, guest="new", state="free"))
    world.deliver()
    seats, copies = world.seats(), world.copies()
    expected = {
        "missing": sorted(seats.keys() - copies.keys()),
        "extra": sorted(copies.keys() - seats.keys()),
        "wrong": sorted(place for place in seats.keys() & copies.keys() if seats[place] != copies[place]),
    }
    assert found(world.difference()) == {kind: keys for kind, keys in expected.items() if keys}
    world.repair(force=True)
    world.deliver()
    assert world.copies() == world.seats()
