"""Two sessions that write one row at the same moment: the second waits for the first, and tells what both did."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from streambind.testing.eventually import eventually
from tests.integration.capture.conftest import SYNC_ENGINES, Service, engine_service, reset
from tests.integration.capture.models import Car, Lecture, LectureCategory, Seat, Ticket

_WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock'",
    # Not innodb_trx: whoever asks it often is told the same again.
    "mysql": "SELECT variable_value > 0 FROM information_schema.global_status "
    "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
}
_WITHOUT_KEY = {
    "postgresql": "ALTER TABLE seat DROP CONSTRAINT seat_pkey",
    "mysql": "ALTER TABLE seat DROP PRIMARY KEY",
}


@pytest.fixture(scope="module", params=SYNC_ENGINES[1:])
def any_server(request: pytest.FixtureRequest) -> Any:
    yield from engine_service(request)


@pytest.fixture
def service(any_server: Service) -> Service:
    """One on a database where sessions write at the same time."""
    reset(any_server)
    return any_server


def _waits(service: Service) -> bool:
    query = text(_WAITING[service.dialect])
    return bool(service.connected(lambda c: c.execute(query).scalar()))


def _both(service: Service, cls: Any, key: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Both have looked; the first writes, the second has to wait, and goes on once the first has committed."""

    def change(session: Session, entity: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(entity, name, value)
        session.flush()

    sessions: Any = service.database.sessions
    with sessions() as early, sessions() as late, ThreadPoolExecutor(1) as thread:
        seen, looked_at = early.get_one(cls, key), late.get_one(cls, key)
        change(early, seen, first)
        waiting = thread.submit(change, late, looked_at, second)
        try:
            eventually(lambda: _waits(service) or waiting.done(), 20, "nobody waits")
            assert not waiting.done()
        finally:
            early.commit()
        waiting.result(20)
        late.commit()


def test_the_second_of_two_updates_tells_both(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1, guest="x", state="free")))

    _both(service, Seat, ("a", 1), {"state": "sold"}, {"guest": "y"})

    told = service.events[-1].json
    assert (told["state"], told["guest"]) == ("sold", "y")


@pytest.mark.parametrize(("first", "second"), [({"doors": 5}, {"maker": "new"}), ({"maker": "new"}, {"doors": 5})])
def test_the_second_of_two_updates_of_one_row_in_two_tables_tells_both(
    service: Service, first: dict[str, Any], second: dict[str, Any]
) -> None:
    service.commit(lambda s: s.add(Car(id=1, maker="old", doors=3)))

    _both(service, Car, 1, first, second)

    told = service.events[-1].json
    assert (told["maker"], told["doors"]) == ("new", 5)


def test_a_row_is_deleted_under_the_key_to_which_the_first_has_moved_it(service: Service) -> None:
    service.commit(lambda s: s.add(Ticket(id=1, tenant="old", title="a")))

    _both(service, Ticket, 1, {"tenant": "new"}, {"tenant": "newest"})

    assert service.shorts == [
        ("old", 1, "INSERT"),
        ("old", 2, "DELETE"),
        ("new", 1, "INSERT"),
        ("new", 2, "DELETE"),
        ("newest", 1, "INSERT"),
    ]


def test_a_delete_is_in_nobodys_way_while_it_waits_for_who_refers_to_the_row(service: Service) -> None:
    if service.dialect != "postgresql":
        pytest.skip(
            "where an INSERT locks what it refers to as an UPDATE of it would, so that the two wait anyway"
        )
    service.commit(lambda s: s.add(LectureCategory(category_id=1, category_name="a")))

    sessions: Any = service.database.sessions
    with sessions() as early, sessions() as late, ThreadPoolExecutor(1) as thread:
        early.add(Lecture(lecture_id=1, title="a", category_id=1))
        early.flush()
        late.delete(late.get_one(LectureCategory, 1))
        waiting = thread.submit(late.flush)
        try:
            eventually(lambda: _waits(service) or waiting.done(), 20, "nobody waits")
            early.get_one(LectureCategory, 1).category_name = "b"
            early.flush()
        finally:
            early.rollback()
        waiting.result(20)
        late.commit()

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "DELETE")]


def test_rows_that_a_flush_does_not_write_stay_free(service: Service) -> None:
    seats = [Seat(room="a" if n <= 100 else "b", number=n, state="free") for n in range(1, 103)]
    cars = [Car(id=n, maker="a", doors=3) for n in range(1, 103)]
    service.commit(lambda s: s.add_all([*seats, *cars]))

    def work(session: Session) -> None:
        session.get_one(Seat, ("b", 102)).guest = "z"
        session.get_one(Car, 102).doors = 5

    sessions: Any = service.database.sessions
    with sessions() as early, ThreadPoolExecutor(1) as thread:
        for seat in early.scalars(select(Seat).where(Seat.room == "a")):
            seat.guest = "y"
        for car in early.scalars(select(Car).where(Car.id <= 100)):
            car.doors = 4
        early.flush()
        other = thread.submit(service.commit, work)
        eventually(lambda: _waits(service) or other.done(), 20, "nobody waits")
        is_free = other.done()
        early.commit()
        other.result(20)

    assert is_free


def test_a_table_without_the_primary_key_of_its_class_is_read_all_the_same(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1, state="free")))
    service.connected(lambda c: c.execute(text(_WITHOUT_KEY[service.dialect])))
    try:
        _both(service, Seat, ("a", 1), {"state": "sold"}, {"guest": "y"})
    finally:
        service.connected(lambda c: c.execute(text("ALTER TABLE seat ADD PRIMARY KEY (room, number)")))

    told = service.events[-1].json
    assert (told["state"], told["guest"]) == ("sold", "y")
