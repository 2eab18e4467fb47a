"""Rows become events again: all of them, each once, in the order of their keys' commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from streambind.errors import CaptureError, ConfigurationError, LifecycleError
from streambind.event import JobType
from streambind.outbound import snapshot as snapshot_module
from streambind.outbound.snapshot import Snapshot
from streambind.outbound.snapshot_rows import key_text, read_key
from streambind.testing.eventually import eventually
from tests.integration.capture.conftest import SYNC_ENGINES, Event, Service, engine_service, reset
from tests.integration.capture.models import (
    Animal,
    Car,
    Cat,
    Dog,
    Lecture,
    LectureCategory,
    Point,
    Seat,
    Spot,
    Task,
    Teacher,
    Ticket,
)
from tests.integration.capture.snapshots import finish, folded, rows, seats, silently

WITHIN_S = 30


@pytest.fixture(scope="module", params=SYNC_ENGINES[1:2])
def any_postgres(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture
def postgres_service(any_postgres: Service) -> Service:
    reset(any_postgres)
    return any_postgres


@pytest.fixture(scope="module", params=SYNC_ENGINES[1:])
def any_server(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture
def server(any_server: Service) -> Service:
    """A database in which writers stand in each other's way row by row."""
    reset(any_server)
    return any_server


def take(service: Service, binding: str, job: JobType = JobType.UPDATE, **how: Any) -> list[Event]:
    """The events of a whole snapshot."""
    before = len(service.events)
    taken = Snapshot(service.database, binding, **how)
    finish(taken, job)
    return service.events[before:]


def payload(event: Event) -> dict[str, Any]:
    found = dict(event.json)
    del found["timestamp"], found["jobType"]
    return found


def test_each_kind_of_class_has_the_events_that_its_changes_have(service: Service) -> None:
    def add(session: Session) -> None:
        session.add(LectureCategory(category_id=1, category_name="최종테스트"))
        session.flush()
        session.add(Lecture(lecture_id=7, title="t", category_id=1))
        session.add_all(seats(3))
        session.add_all([Animal(id=1, name="a"), Dog(id=2, name="d", breed="b"), Cat(id=3, name="c")])
        session.add_all([Car(id=4, maker="m", doors=5), Point(id=1, x=1), Spot(id=9, x=9)])
        session.add_all([Ticket(id=1, tenant="t", title="1"), Teacher(id=1, name="n")])
        session.add(Task(id=1, label="loud"))

    service.commit(add)
    told = {(e.binding, e.key, str(e.json.get("id", ""))): e for e in service.events}
    bindings = sorted({binding for binding, _, _ in told})
    again = [event for binding in bindings for event in take(service, binding)]
    found = {(e.binding, e.key, str(e.json.get("id", ""))): e for e in again}
    assert len(again) == len(service.events) // 2
    assert {where: payload(event) for where, event in found.items()} == {
        where: payload(event) for where, event in told.items()
    }
    assert {event.json["jobType"] for event in again} == {"UPDATE"}
    assert {event.seq: None for event in again if event.key == "a"}.keys() == {4, 5, 6}


def test_rows_that_nobody_has_told_of_have_number_1(service: Service) -> None:
    silently(service, *seats(2))
    events = take(service, "out-seatChanged", JobType.INSERT)
    assert [event.short for event in events] == [('["a",1]', 1, "INSERT"), ('["a",2]', 1, "INSERT")]
    (snapshot,) = {event.headers["sb-snapshot"] for event in events}
    assert snapshot is not None
    assert len(snapshot) == 36


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 10])
def test_every_row_comes_once_whatever_the_size_of_the_chunks(service: Service, chunk: int) -> None:
    silently(service, *seats(2, "b"), *seats(2))
    events = take(service, "out-seatChanged", chunk=chunk)
    assert [event.key for event in events] == ['["a",1]', '["a",2]', '["b",1]', '["b",2]']


def test_an_empty_table_has_no_events(service: Service) -> None:
    assert take(service, "out-seatChanged") == []
    assert Snapshot(service.database, "out-seatChanged").unfinished() is None


def test_what_build_leaves_out_is_left_out(service: Service) -> None:
    silently(service, Task(id=1, label="a"), Task(id=2, label="b", hidden=True), Task(id=3, label="c"))
    assert [event.json["label"] for event in take(service, "out-summary", chunk=1)] == ["A", "C"]


def test_a_condition_chooses_rows(service: Service) -> None:
    silently(service, *seats(3))
    taken = Snapshot(service.database, "out-seatChanged", where="number >= 2 OR guest IS NULL")
    assert sum(taken.count().values()) == 2
    finish(taken)
    assert [event.key for event in service.events] == ['["a",2]', '["a",3]']


@pytest.mark.parametrize(
    "where", ["guest = ':x' OR number >= 2", "number >= 2 -- the later ones", "guest LIKE '%2'"]
)
def test_a_condition_is_sql_as_it_was_written(service: Service, where: str) -> None:
    silently(service, *seats(2))
    taken = Snapshot(service.database, "out-seatChanged", where=where)
    finish(taken)
    assert [event.key for event in service.events] == ['["a",2]']


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("nmber = 2", "nmber"),
        ("number >= ", "syntax"),
        ("", "syntax"),
        ("nowhere(number) = 1", "nowhere"),
    ],
)
def test_what_is_no_condition_is_told_with_the_columns(service: Service, where: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Snapshot(service.database, "out-seatChanged", where=where).count()
    assert f"does not take {where!r} as a condition on rows of" in str(caught.value)
    assert "Seat: " in str(caught.value)
    assert str(caught.value).endswith("; its columns are: room, number, guest, state, notes")


def test_a_condition_is_not_blamed_for_a_table_that_is_not_there(service: Service) -> None:
    table: Any = Seat.__table__
    service.connected(table.drop)
    try:
        with pytest.raises(DBAPIError):
            Snapshot(service.database, "out-seatChanged", where="number = 1").count()
    finally:
        service.connected(table.create)


def test_a_row_that_cannot_become_an_event_is_named_and_holds_the_snapshot_up(service: Service) -> None:
    silently(service, Task(id=1, label="a"), Task(id=2, label=None))
    taken = Snapshot(service.database, "out-summary")
    begun = taken.begin(JobType.UPDATE)
    with pytest.raises(CaptureError, match=r'Task \[\["int", "2"\]\].*upper'):
        taken.step(begun.snapshot)
    assert service.events == []
    assert taken.unfinished() == begun


def test_an_interrupted_one_goes_on_where_it_was(service: Service) -> None:
    silently(service, *seats(5))
    first = Snapshot(service.database, "out-seatChanged", chunk=2)
    first.step(first.begin(JobType.UPDATE).snapshot)
    second = Snapshot(service.database, "out-seatChanged", chunk=2)
    place = second.unfinished()
    assert place is not None
    assert (place.rows, place.events) == (2, 2)
    finish(second)
    assert [event.seq for event in service.events] == [1] * 5
    assert len({event.headers["sb-snapshot"] for event in service.events}) == 1


def test_two_at_once_share_the_rows(service: Service) -> None:
    silently(service, *seats(7))
    one, other = (Snapshot(service.database, "out-seatChanged", chunk=2) for _ in range(2))
    snapshot = one.begin(JobType.UPDATE).snapshot
    assert other.begin(JobType.UPDATE).snapshot == snapshot
    steps = [taken.step(snapshot) for taken in (one, other, other, one, other)]
    assert [step.done for step in steps] == [False, False, False, True, True]
    assert [event.seq for event in service.events] == [1] * 7


def test_another_condition_is_another_snapshot(service: Service) -> None:
    silently(service, *seats(3))
    first = Snapshot(service.database, "out-seatChanged", chunk=1)
    begun = first.begin(JobType.UPDATE)
    other = Snapshot(service.database, "out-seatChanged", where="number = 1")
    with pytest.raises(LifecycleError, match="unfinished snapshot has --where nothing"):
        other.begin(JobType.UPDATE)
    with pytest.raises(LifecycleError, match="--job-type UPDATE"):
        first.begin(JobType.INSERT)
    other.begin(JobType.UPDATE, anew=True)
    with pytest.raises(LifecycleError, match="begun the snapshot anew"):
        first.step(begun.snapshot)
    assert other.abandon()
    assert not other.abandon()


def test_nothing_is_published_to_a_binding(service: Service) -> None:
    with pytest.raises(ConfigurationError, match="no class is published to out-bytes"):
        Snapshot(service.database, "out-bytes")


def test_it_waits_while_much_waits_in_the_outbox(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "MAX_BACKLOG", 2)
    silently(service, *seats(5))
    taken = Snapshot(service.database, "out-seatChanged", chunk=3)
    snapshot = taken.begin(JobType.UPDATE).snapshot
    assert taken.step(snapshot).waits is None
    waits = "3 messages wait in the outbox"
    nobody = ", and nobody relays: start the application, or `streambind relay`"
    assert taken.step(snapshot).waits == waits + nobody
    lease = service.database.tables.lease
    held = {"owner": "somebody", "expires_ms": service.database.dialect.now_ms + 60_000}
    service.connected(lambda c: c.execute(update(lease).where(lease.c.shard == 0).values(**held)))
    assert taken.step(snapshot).waits == waits
    service.connected(lambda c: c.execute(delete(service.database.tables.outbox)))
    assert taken.step(snapshot).done


def test_changes_go_on_between_the_chunks(sync_service: Service) -> None:
    """Changed, deleted, added and moved rows, before and behind the place that was reached."""
    service = sync_service
    silently(service, *seats(6))
    taken = Snapshot(service.database, "out-seatChanged", chunk=2)
    snapshot = taken.begin(JobType.UPDATE).snapshot
    taken.step(snapshot)

    def change(session: Session) -> None:
        session.get_one(Seat, ("a", 1)).guest = "changed"
        session.get_one(Seat, ("a", 3)).guest = "changed"
        session.delete(session.get_one(Seat, ("a", 2)))
        session.delete(session.get_one(Seat, ("a", 4)))
        session.get_one(Seat, ("a", 6)).number = 0
        session.add(Seat(room="a", number=9, guest="new"))

    service.commit(change)
    finish(taken)
    assert folded(service) == rows(service)


def test_a_row_that_is_being_written_is_waited_for(server: Service) -> None:
    silently(server, *seats(3))
    taken = Snapshot(server.database, "out-seatChanged", chunk=3)
    snapshot = taken.begin(JobType.UPDATE).snapshot
    with server.database.sessions() as writer:
        writer.execute(update(Seat).where(Seat.number == 2).values(guest="written"))
        step = taken.step(snapshot)
        assert (step.place, step.done) == (None, False)
        assert "lock not available" in (step.waits or "")
        writer.commit()
    finish(taken)
    assert folded(server) == rows(server)
    assert [event.seq for event in server.events if event.key == '["a",2]'] == [1, 2]


def test_chunks_are_small_where_writers_are_in_the_way_and_grow_again(server: Service) -> None:
    silently(server, *seats(6))
    taken = Snapshot(server.database, "out-seatChanged", chunk=4)
    snapshot = taken.begin(JobType.UPDATE).snapshot

    def step() -> int | None:
        place = taken.step(snapshot).place
        return None if place is None else place.rows

    with server.database.sessions() as writer:
        writer.execute(update(Seat).where(Seat.room == "a", Seat.number == 2).values(guest="written"))
        assert [step(), step(), step()] == [None, 1, None]
        writer.commit()
    assert [step(), step(), step()] == [2, 4, 6]
    assert folded(server) == rows(server)


def test_rows_that_are_deleted_while_a_chunk_waits_are_not_the_end(postgres_service: Service) -> None:
    silently(postgres_service, *seats(4))
    taken = Snapshot(postgres_service.database, "out-seatChanged", chunk=2)
    snapshot = taken.begin(JobType.UPDATE).snapshot
    with postgres_service.database.sessions() as writer:
        writer.execute(delete(Seat).where(Seat.number <= 2))
        waiting = threading.Thread(target=lambda: taken.step(snapshot))
        waiting.start()
        eventually(lambda: _lock_is_awaited(postgres_service) or not waiting.is_alive(), WITHIN_S, "nobody waits")
        writer.commit()
    waiting.join(WITHIN_S)
    finish(taken)
    assert folded(postgres_service) == rows(postgres_service)
    assert set(rows(postgres_service)) == {("a", 3), ("a", 4)}


def _lock_is_awaited(service: Service) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return bool(service.connected(lambda c: c.exec_driver_sql(query).scalar()))


def test_a_row_of_two_tables_is_locked_in_both(server: Service) -> None:
    silently(server, Car(id=1, maker="m", doors=3))
    taken = Snapshot(server.database, "out-carChanged")
    snapshot = taken.begin(JobType.UPDATE).snapshot
    with server.database.sessions() as writer:
        writer.get_one(Car, 1).doors = 5
        writer.flush()
        assert taken.step(snapshot).waits is not None
        writer.commit()
    finish(taken)
    assert [event.json["doors"] for event in server.events] == [5, 5]


def test_rows_may_be_referred_to_while_they_are_in_a_chunk(
    postgres_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes a lecture locks its category against deletion only."""
    silently(postgres_service, LectureCategory(category_id=1, category_name="c"))

    def insert_meanwhile(name: str) -> None:
        def refer(session: Session) -> None:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            session.execute(insert(Lecture).values(lecture_id=1, title="t", category_id=1))

        if name == "snapshot.before_commit":
            postgres_service.commit(refer)

    monkeypatch.setattr(snapshot_module, "failpoint", insert_meanwhile)
    finish(Snapshot(postgres_service.database, "out-categoryChanged"))
    assert postgres_service.connected(lambda c: c.scalar(select(func.count()).select_from(Lecture.__table__))) == 1


@pytest.mark.parametrize(
    "key",
    [(1,), ("a", 2), ("최종 'x'\n",), (b"\x00\xff",), (True,), (2**63 - 1,), (1.1e-7,)],
)
def test_a_key_comes_back(key: tuple[Any, ...]) -> None:
    assert read_key(key_text(key)) == key


def test_a_key_that_has_no_text_is_refused() -> None:
    with pytest.raises(CaptureError, match="holds a JobType"):
        key_text((JobType.INSERT,))
