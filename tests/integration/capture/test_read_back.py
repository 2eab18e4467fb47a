"""An UPDATE's event tells what the row holds, though others have changed it since the session looked at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session

from streambind.configuration.properties import Publish
from streambind.outbound.publish import suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import Animal, Car, Dog, Lecture, LectureCategory, Seat, Task, Ticket

Work = Callable[[Any], object]

SEAT = ("a", 1)


def _edit(service: Service, cls: Any, key: Any, *, others: Work, own: Work) -> None:
    """One session looks at a row; `others` change it, and commit; then the session does its `own`."""

    def elsewhere(session: Session) -> None:
        others(session.get_one(cls, key))

    def work(session: Session) -> None:
        session.expire_on_commit = False
        entity = session.get_one(cls, key)
        if service.dialect == "sqlite":
            session.commit()  # Else it would hold the whole database.
        service.commit(elsewhere)
        own(entity)
        session.commit()

    service.do(work)


def _set(**values: Any) -> Work:
    def change(entity: Any) -> None:
        for name, value in values.items():
            setattr(entity, name, value)

    return change


def _last(service: Service, destination: str) -> Any:
    return [e for e in service.events if e.destination == destination][-1].json


@contextmanager
def _reads(service: Service, table: str) -> Iterator[list[str]]:
    """The SELECTs of a table."""
    seen: list[str] = []

    def watch(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.lstrip().startswith("SELECT") and f"FROM {table}" in statement:
            seen.append(statement)

    event.listen(service.database.engine, "before_cursor_execute", watch)
    try:
        yield seen
    finally:
        event.remove(service.database.engine, "before_cursor_execute", watch)


def test_the_event_tells_both_changes_of_a_row(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1, guest="x", state="free")))

    _edit(service, Seat, SEAT, others=_set(state="sold"), own=_set(guest="y"))

    assert [_last(service, each)["state"] for each in ("seatChanged", "roomChanged")] == ["sold", "sold"]
    assert _last(service, "seatChanged")["guest"] == "y"


def test_a_deferred_column_that_was_loaded_is_told_as_the_row_has_it(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1, notes="old")))

    def own(seat: Seat) -> None:
        seat.guest = "y"

    def work(session: Session) -> None:
        session.expire_on_commit = False
        seat = session.get_one(Seat, SEAT)
        assert seat.notes == "old"
        session.commit()
        service.commit(lambda s: setattr(s.get_one(Seat, SEAT), "notes", "new"))
        own(seat)
        session.commit()
        assert seat.notes == "old"

    service.do(work)

    assert _last(service, "seatChanged")["notes"] == "new"


def test_a_class_below_another_is_told_as_its_row_is(service: Service) -> None:
    service.commit(lambda s: s.add_all([Dog(id=1, name="old", breed="pug"), Animal(id=2, name="old")]))

    _edit(service, Dog, 1, others=_set(name="new"), own=_set(breed="mops"))

    assert _last(service, "animalChanged") | {"timestamp": ""} == {
        "eventType": "DogChanged",
        "timestamp": "",
        "jobType": "UPDATE",
        "id": 1,
        "name": "new",
        "breed": "mops",
    }


@pytest.mark.parametrize(("others", "own"), [({"maker": "new"}, {"doors": 5}), ({"doors": 5}, {"maker": "new"})])
def test_a_row_of_two_tables_is_told_whole(service: Service, others: Any, own: Any) -> None:
    service.commit(lambda s: s.add(Car(id=1, maker="old", doors=3)))

    _edit(service, Car, 1, others=_set(**others), own=_set(**own))

    told = _last(service, "carChanged")
    assert (told["maker"], told["doors"]) == ("new", 5)


def test_what_build_sees_is_the_row(service: Service) -> None:
    service.commit(lambda s: s.add_all([Task(id=1, label="old"), Task(id=2, label="old")]))
    before = len(service.events)

    _edit(service, Task, 1, others=_set(hidden=True), own=_set(label="new"))
    assert len(service.events) == before, "it is hidden, and neither of the two is told"

    _edit(service, Task, 2, others=_set(label="new"), own=_set(hidden=False))
    assert _last(service, "summary")["label"] == "NEW"


def test_a_row_that_others_have_moved_to_another_key_stays_there(service: Service) -> None:
    service.commit(lambda s: s.add(Ticket(id=1, tenant="old", title="a")))

    _edit(service, Ticket, 1, others=_set(tenant="new"), own=_set(title="b"))

    assert service.shorts == [
        ("old", 1, "INSERT"),
        ("old", 2, "DELETE"),
        ("new", 1, "INSERT"),
        ("new", 2, "UPDATE"),
    ]
    assert _last(service, "ticketChanged")["tenant"] == "new"


def test_the_object_keeps_what_its_session_has_read(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1, state="free")))

    def own(seat: Seat) -> None:
        session = Session.object_session(seat)
        assert session is not None
        seat.guest = "y"
        session.flush()
        assert seat.state == "free"
        session.refresh(seat)
        assert seat.state == "sold"

    _edit(service, Seat, SEAT, others=_set(state="sold"), own=own)


def test_what_leaves_after_the_commit_tells_the_row_too(service: Service) -> None:
    plan = service.plans["out-seatChanged"]
    service.commit(lambda s: s.add(Seat(room="a", number=1, state="free")))
    plan.publish = Publish.AFTER_COMMIT
    try:
        _edit(service, Seat, SEAT, others=_set(state="sold"), own=_set(guest="y"))
    finally:
        plan.publish = Publish.OUTBOX

    payload = service.sent[-1].payload
    assert payload is not None
    assert b'"guest":"y","state":"sold"' in payload


def test_many_rows_are_read_by_few_statements(service: Service) -> None:
    rows = range(1, 602)
    service.commit(lambda s: s.add_all([Seat(room="a", number=n) for n in rows]))

    def work(session: Session) -> None:
        session.expire_on_commit = False
        seats = session.scalars(select(Seat)).all()
        session.commit()
        service.commit(lambda s: s.execute(update(Seat).values(state="sold")) and None)
        for seat in seats:
            seat.guest = "y"
        with _reads(service, "seat") as reads:
            session.commit()
        assert len(reads) == 2

    service.do(work)

    last = {e.json["number"]: e.json for e in service.events if e.destination == "seatChanged"}
    assert {(each["guest"], each["state"]) for each in last.values()} == {("y", "sold")}


def test_nothing_is_read_where_the_session_cannot_be_wrong(service: Service) -> None:
    service.commit(lambda s: s.add(LectureCategory(category_id=1, category_name="a")))

    def work(session: Session) -> None:
        lecture = Lecture(lecture_id=1, title="a")
        session.add(lecture)
        session.flush()
        category = session.get_one(LectureCategory, 1)
        with _reads(service, "lecture") as reads:
            lecture.title = "b"
            session.flush()
            assert not reads, "inserted by this transaction"
            session.get_one(LectureCategory, 1).category_name = "b"
            session.flush()
            assert not reads, "all that the event tells was written"
            category.remark = "c"
            session.flush()
            assert not reads, "and is known since"
        session.commit()

    service.do(work)


def test_a_row_is_read_once_in_a_transaction_unless_a_statement_may_have_changed_it(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1)))

    def work(session: Session) -> None:
        seat = session.get_one(Seat, SEAT)
        _ = seat.notes
        with _reads(service, "seat") as reads:
            for guest in "xyz":
                seat.guest = guest
                session.flush()
        assert len(reads) == 1
        statement = update(Seat).values(state="sold").execution_options(synchronize_session=False)
        session.execute(statement)
        seat.guest = "last"
        session.commit()

    service.do(work)

    assert (_last(service, "seatChanged")["state"], _last(service, "seatChanged")["guest"]) == ("sold", "last")


def test_what_happens_unseen_is_read_back(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1)))

    def work(session: Session) -> None:
        seat = session.get_one(Seat, SEAT)
        seat.guest = "x"
        session.flush()
        with suppress_events(session):
            session.connection().execute(update(Seat).values(state="sold"))
        seat.guest = "y"
        session.commit()

    service.do(work)

    assert _last(service, "seatChanged")["state"] == "sold"


def test_a_savepoint_that_is_rolled_back_lets_go_of_what_was_known(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="a", number=1)))

    def work(session: Session) -> None:
        session.expire_on_commit = False
        seat = session.get_one(Seat, SEAT)
        _ = seat.notes, seat.state
        savepoint = session.begin_nested()
        seat.guest = "x"
        session.flush()
        savepoint.rollback()
        if service.dialect == "sqlite":
            session.commit()
        if service.dialect != "mysql":  # where the lock stays
            service.commit(lambda s: setattr(s.get_one(Seat, SEAT), "state", "sold"))
        seat.guest = "y"
        session.commit()

    service.do(work)

    expected = "free" if service.dialect == "mysql" else "sold"
    assert _last(service, "seatChanged")["state"] == expected


def test_sessions_that_share_a_transaction_are_told_apart(sync_service: Service) -> None:
    service = sync_service
    sessions: Any = service.database.sessions

    with service.database.engine.begin() as connection:
        one, two = sessions(bind=connection), sessions(bind=connection)
        seat = Seat(room="a", number=1)
        one.add(seat)
        one.flush()
        _ = seat.state, seat.notes
        two.get_one(Seat, SEAT).state = "sold"
        two.flush()
        seat.guest = "y"
        one.flush()
        one.close()
        two.close()

    assert _last(service, "seatChanged")["state"] == "sold"


def test_a_row_that_others_have_moved_moves_on_from_there(service: Service) -> None:
    service.commit(lambda s: s.add(Ticket(id=1, tenant="old", title="a")))

    _edit(service, Ticket, 1, others=_set(tenant="new"), own=_set(tenant="newest"))

    assert service.shorts[-2:] == [("new", 2, "DELETE"), ("newest", 1, "INSERT")]


def _delete(entity: Any) -> None:
    session = Session.object_session(entity)
    assert session is not None
    session.delete(entity)


def test_a_delete_goes_where_the_row_is_and_tells_what_it_held(service: Service) -> None:
    service.commit(lambda s: s.add(Ticket(id=1, tenant="old", title="a")))

    _edit(service, Ticket, 1, others=_set(tenant="new", title="b"), own=_delete)

    assert service.shorts[-1] == ("new", 2, "DELETE")
    assert _last(service, "ticketChanged")["title"] == "b"


def test_a_row_that_others_have_deleted_is_no_second_delete(service: Service) -> None:
    service.commit(lambda s: s.add(Lecture(lecture_id=1, title="a")))

    with pytest.warns(SAWarning, match="0 were matched"):
        _edit(service, Lecture, 1, others=_delete, own=_delete)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "DELETE")]


def test_rows_to_delete_are_read_by_few_statements(service: Service) -> None:
    service.commit(lambda s: s.add_all([Seat(room="a", number=n, guest="x") for n in range(1, 52)]))

    def work(session: Session) -> None:
        session.expire_on_commit = False
        seats = session.scalars(select(Seat)).all()
        session.commit()
        service.commit(lambda s: s.execute(update(Seat).values(guest="y")) and None)
        for seat in seats:
            session.delete(seat)
        with _reads(service, "seat") as reads:
            session.commit()
        assert len(reads) == 1

    service.do(work)

    gone = [e.json["guest"] for e in service.events if e.json["jobType"] == "DELETE"]
    assert gone == ["y"] * 102


def test_rows_to_delete_are_locked_in_the_order_in_which_they_are_deleted(sync_service: Service) -> None:
    service = sync_service
    numbers = range(1, 1202)
    service.commit(lambda s: s.add_all([Lecture(lecture_id=n, title="a") for n in numbers]))
    asked: list[tuple[int, int]] = []

    def watch(_: Any, __: Any, ___: Any, parameters: Any, ____: Any) -> None:
        if "keys" in parameters:
            asked.append((min(parameters["keys"]), max(parameters["keys"])))

    def work(session: Session) -> None:
        for lecture in session.scalars(select(Lecture)):
            session.delete(lecture)
        event.listen(service.database.engine, "before_execute", watch)
        try:
            session.commit()
        finally:
            event.remove(service.database.engine, "before_execute", watch)

    service.do(work)

    assert asked == [(1, 500), (501, 1000), (1001, 1201)]
