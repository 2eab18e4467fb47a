"""Statements whose rows cannot become events: refused, or not to be committed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from streambind.errors import CaptureError, UncapturedChangeError
from streambind.outbound.publish import suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import (
    Bystander,
    Car,
    Lecture,
    LectureCategory,
    Point,
    Seat,
    Task,
    Ticket,
)

POINTS: Any = Point.__table__
TICKETS: Any = Ticket.__table__


@pytest.fixture
def points(service: Service) -> Service:
    """Three points, whose events are gone."""
    service.commit(lambda s: s.add_all([Point(id=1, x=10), Point(id=2, x=20), Point(id=3, x=30)]))
    service.connected(lambda c: c.execute(delete(service.database.tables.outbox)))
    service.woken.clear()
    return service


@pytest.mark.parametrize("values", [{"id": 9}, {Point.id: Point.id + 1}, {POINTS.c.id: 9}], ids=str)
def test_an_update_of_the_primary_key_is_refused(points: Service, values: Any) -> None:
    def work(session: Session) -> None:
        with pytest.raises(UncapturedChangeError, match=r"sets id, the primary key.*suppress_events"):
            session.execute(update(Point).where(Point.id == 1).values(values))
        session.rollback()

    points.do(work)

    assert points.events == []


def test_an_update_of_what_a_key_is_made_of_is_refused_and_of_the_rest_is_not(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Seat(room="r", number=1))
        session.flush()
        session.execute(update(Seat).values(guest="g"))
        with pytest.raises(UncapturedChangeError, match="sets room, the primary key"):
            session.execute(update(Seat).values(room="q"))

    service.commit(work)

    assert [(e.destination, e.seq) for e in service.events] == [
        ("seatChanged", 1),
        ("roomChanged", 1),
        ("seatChanged", 2),
        ("roomChanged", 2),
    ]


def test_an_update_of_what_a_key_beside_the_primary_key_is_made_of_is_refused(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Ticket(id=1, tenant="a", title="t"))
        session.flush()
        session.execute(update(Ticket).values(title="u"))
        for statement in (update(Ticket).values(tenant="b"), update(TICKETS).values(tenant="b")):
            with pytest.raises(
                UncapturedChangeError, match=r"sets tenant, of which the key for out-ticketChanged"
            ):
                session.execute(statement)
        with pytest.raises(UncapturedChangeError, match=r"sets tenant, of which the key"):
            session.execute(update(Ticket), [{"id": 1, "tenant": "b"}])
        session.rollback()
        session.add(Ticket(id=1, tenant="a", title="t"))
        session.execute(update(Ticket), [{"id": 1, "title": "v"}])
        session.execute(delete(Ticket))
        session.commit()

    service.do(work)

    assert [(*e.short, e.json["title"]) for e in service.events] == [
        ("a", 1, "INSERT", "t"),
        ("a", 2, "UPDATE", "v"),
        ("a", 3, "DELETE", "v"),
    ]


def test_rows_without_their_events_cannot_be_committed_though_the_error_is_caught(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Task(id=1, label="a"))
        session.commit()
        with pytest.raises(CaptureError, match="cannot make Summary"):
            session.execute(update(Task).values(label=None))
        with pytest.raises(CaptureError, match="cannot commit: roll it back"):
            session.commit()
        session.rollback()
        savepoint = session.begin_nested()
        with pytest.raises(CaptureError, match="cannot make Summary"):
            session.execute(update(Task).values(label=None))
        with pytest.raises(CaptureError, match="cannot commit: roll it back"):
            savepoint.commit()
        savepoint.rollback()
        session.execute(update(Task).values(label="b"))
        session.commit()

    service.do(work)

    assert [e.json["label"] for e in service.events] == ["A", "B"]
    assert service.do(lambda s: s.get_one(Task, 1).label) == "b"


def test_the_first_batch_of_an_insert_cannot_be_committed_when_the_second_fails(service: Service) -> None:
    if not service.captures_inserts:
        pytest.skip("no RETURNING for INSERT")

    def work(session: Session) -> None:
        twice = [*range(1500), 1]
        with pytest.raises(IntegrityError):
            session.execute(insert(Point), [{"id": number, "x": 0} for number in twice])
        with pytest.raises(CaptureError, match="cannot commit: roll it back"):
            session.commit()
        session.rollback()

    service.do(work)

    assert service.events == []


def test_the_first_of_several_statements_cannot_be_committed_when_the_second_fails(service: Service) -> None:
    service.commit(lambda s: s.add_all([Point(id=1, x=1), Point(id=2, x=2)]))

    def work(session: Session) -> None:
        with pytest.raises(IntegrityError):
            session.execute(
                update(POINTS).where(POINTS.c.id == bindparam("which")).values(x=bindparam("value")),
                [{"which": 1, "value": 5}, {"which": 2, "value": None}],
            )
        with pytest.raises(CaptureError, match="cannot commit: roll it back"):
            session.commit()
        session.rollback()

    service.do(work)

    assert len(service.events) == 2


def test_upserts_are_refused(points: Service) -> None:
    def upserting(target: Any) -> Any:
        if points.dialect == "mysql":
            return mysql.insert(target).values(id=1, x=0).on_duplicate_key_update(x=1)
        dialect = postgresql if points.dialect == "postgresql" else sqlite
        insertion = dialect.insert(target).values(id=1, x=0)
        return insertion.on_conflict_do_update(index_elements=["id"], set_={"x": 1})

    def work(session: Session) -> None:
        for target in (Point, POINTS):
            upsert = upserting(target)
            with pytest.raises(UncapturedChangeError, match=r"upsert.*session\.merge"):
                session.execute(upsert)
            with pytest.raises(UncapturedChangeError, match="upsert"):
                session.execute(insert(target).prefix_with("OR REPLACE").values(id=1, x=0))
        with suppress_events(session):
            session.execute(upsert)

    points.commit(work)

    assert points.events == []
    assert points.do(lambda s: s.get_one(Point, 1).x) == 1


def test_statements_on_a_class_in_two_tables_are_refused(service: Service) -> None:
    def work(session: Session) -> None:
        for statement in (update(Car).values(doors=5), delete(Car), insert(Car).values(id=1, doors=1)):
            with pytest.raises(UncapturedChangeError, match=r"Car.*several tables.*Load the objects"):
                session.execute(statement)

    service.commit(work)


def test_statements_on_other_tables_are_left_alone(service: Service) -> None:
    def work(session: Session) -> None:
        session.execute(insert(Bystander), [{"id": 1, "name": "a"}])
        session.execute(update(Bystander).values(name="b"))
        session.execute(delete(Bystander))

    service.commit(work)

    assert service.events == []


def test_columns_of_another_published_table_are_refused(service: Service) -> None:
    """MySQL alone has UPDATE of several tables, and tells of none of their rows."""
    if service.dialect != "mysql":
        pytest.skip("no UPDATE of several tables")

    def work(session: Session) -> None:
        both = {Lecture.title: "t", LectureCategory.category_name: "c"}
        same = Lecture.category_id == LectureCategory.category_id
        with pytest.raises(UncapturedChangeError, match="lecture_category"):
            session.execute(
                update(Lecture).where(same).values(both), execution_options={"synchronize_session": False}
            )
        session.rollback()

    service.commit(
        lambda s: s.add(
            Lecture(lecture_id=1, category=LectureCategory(category_id=1, category_name="a"), title="a")
        )
    )
    service.do(work)

    assert service.do(lambda s: s.get_one(LectureCategory, 1).category_name) == "a"


def test_inserts_are_refused_where_they_return_no_rows(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on MySQL."""
    monkeypatch.setattr(service.database.engine.dialect, "insert_returning", False)

    def work(session: Session) -> None:
        for parameters in ({"id": 1, "x": 1}, [{"id": 1, "x": 1}, {"id": 2, "x": 2}]):
            with pytest.raises(UncapturedChangeError, match=r"returns no rows\. Add objects to the session"):
                session.execute(insert(POINTS), parameters)

    service.commit(work)

    assert service.events == []
    assert service.do(lambda s: s.scalars(select(Point)).all()) == []
