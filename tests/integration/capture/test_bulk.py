"""Statements through `session.execute` on published tables: their rows become events."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.orm import Session, aliased

from streambind.outbound.publish import publish, suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import (
    Animal,
    Cat,
    Dog,
    Lecture,
    LectureCategory,
    Person,
    Point,
    Pupil,
    Seat,
    Task,
    Teacher,
)

POINTS: Any = Point.__table__


@pytest.fixture
def points(service: Service) -> Service:
    """Three points, whose events are gone."""
    service.commit(lambda s: s.add_all([Point(id=1, x=10), Point(id=2, x=20), Point(id=3, x=30)]))
    service.connected(lambda c: c.execute(delete(service.database.tables.outbox)))
    service.woken.clear()
    return service


def _seen(service: Service) -> list[tuple[str | None, int | None, str, Any]]:
    return sorted((e.key, e.seq, e.json["jobType"], e.json["x"]) for e in service.events)


@pytest.mark.parametrize("target", [Point, POINTS, "legacy"], ids=["orm", "core", "legacy"])
def test_update_publishes_the_rows_that_it_changed(points: Service, target: Any) -> None:
    def work(session: Session) -> int:
        if target == "legacy":
            return session.query(Point).filter(Point.x >= 20).update({Point.x: Point.x + 1})
        result: Any = session.execute(update(target).where(POINTS.c.x >= 20).values(x=POINTS.c.x + 1))
        return int(result.rowcount)

    assert points.commit(work) == 2
    assert _seen(points) == [("2", 2, "UPDATE", 21), ("3", 2, "UPDATE", 31)]
    assert len(points.woken) == 1


@pytest.mark.parametrize("target", [Point, POINTS, "legacy"], ids=["orm", "core", "legacy"])
def test_delete_publishes_the_rows_that_it_deleted(points: Service, target: Any) -> None:
    def work(session: Session) -> int:
        if target == "legacy":
            return session.query(Point).filter(Point.x >= 20).delete()
        result: Any = session.execute(delete(target).where(POINTS.c.x >= 20))
        return int(result.rowcount)

    assert points.commit(work) == 2
    assert _seen(points) == [("2", 2, "DELETE", 20), ("3", 2, "DELETE", 30)]


@pytest.mark.parametrize("target", [Point, POINTS], ids=["orm", "core"])
def test_insert_publishes_its_rows(service: Service, target: Any) -> None:
    if not service.captures_inserts:
        pytest.skip("no RETURNING for INSERT")

    def work(session: Session) -> None:
        session.execute(insert(target).values(id=1, x=10))
        session.execute(insert(target), {"id": 2, "x": 20})
        session.execute(insert(target), [{"id": 3, "x": 30}, {"id": 4, "x": 40}])
        session.execute(insert(target).values([{"id": 5, "x": 50}, {"id": 6, "x": 60}]))
        session.execute(insert(target).from_select(["id", "x"], select(POINTS.c.id + 6, POINTS.c.x)))

    service.commit(work)

    assert [(int(k or 0), s, j) for k, s, j in service.shorts] == [(n, 1, "INSERT") for n in range(1, 13)]


def test_the_callers_result_is_as_without_capture(points: Service) -> None:
    def work(session: Session) -> None:
        if points.captures_inserts:
            inserted: Any = session.execute(insert(POINTS).values(id=4, x=40))
            assert inserted.inserted_primary_key == (4,)
            assert inserted.inserted_primary_key.id == 4
        else:
            session.add(Point(id=4, x=40))
        updated: Any = session.execute(update(Point).where(Point.id == 4).values(x=41))
        assert not updated.returns_rows
        with pytest.raises(ResourceClosedError):
            updated.all()
        if points.dialect == "mysql":  # no RETURNING for UPDATE
            session.execute(update(Point).where(Point.id == 4).values(x=42))
            return
        assert session.scalar(update(Point).where(Point.id == 4).values(x=42).returning(Point.x)) == 42
        rows = session.execute(
            update(POINTS).where(POINTS.c.x < 30).values(x=0).returning(POINTS.c.id, POINTS.c.x)
        )
        assert list(rows.keys()) == ["id", "x"]
        assert sorted((row.id, row._mapping[POINTS.c.x]) for row in rows) == [(1, 0), (2, 0)]
        deleted: Any = session.execute(delete(POINTS).where(POINTS.c.id == 1).returning(POINTS.c.id))
        assert deleted.rowcount == 1
        assert deleted.scalars().all() == [1]

    points.commit(work)

    assert [e.short for e in points.events if e.key == "4"] == [
        ("4", 1, "INSERT"),
        ("4", 2, "UPDATE"),
        ("4", 3, "UPDATE"),
    ]


def test_a_row_that_others_have_changed_alike_is_told_as_it_is_now(sync_service: Service) -> None:
    """MySQL leaves a row alone that has the new values already, and what REPEATABLE READ sees of it."""
    if sync_service.dialect == "sqlite":
        pytest.skip("there is one writer at a time")
    sync_service.commit(lambda s: s.add(Point(id=1, x=10)))

    def change(session: Session) -> None:
        with suppress_events(session):
            session.execute(update(Point).values(x=11))

    def work(session: Session) -> None:
        assert session.scalar(select(Point.x)) == 10
        sync_service.commit(change)
        session.execute(update(Point).where(Point.id == 1).values(x=11))

    sync_service.commit(work)

    assert [event.json["x"] for event in sync_service.events] == [10, 11]


def test_returning_entities_gives_the_caller_entities(points: Service) -> None:
    if points.dialect == "mysql":
        pytest.skip("no RETURNING for UPDATE")

    def work(session: Session) -> None:
        known = session.get_one(Point, 1)
        updated = session.scalars(
            update(Point).where(Point.id == 1).values(x=11).returning(Point),
            execution_options={"populate_existing": True},
        ).all()
        assert updated == [known]
        assert known.x == 11
        inserted = session.scalars(
            insert(Point).returning(Point, sort_by_parameter_order=True), [{"id": 8, "x": 1}, {"id": 7, "x": 2}]
        ).all()
        assert [p.id for p in inserted] == [8, 7]
        row = session.execute(update(Point).where(Point.id == 2).values(x=21).returning(Point, Point.x)).one()
        assert (row.Point.id, row.x) == (2, 21)

    points.commit(work)

    assert _seen(points) == [
        ("1", 2, "UPDATE", 11),
        ("2", 2, "UPDATE", 21),
        ("7", 1, "INSERT", 2),
        ("8", 1, "INSERT", 1),
    ]


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_objects_in_the_session_are_synchronized_as_asked(points: Service, synchronize: Any) -> None:
    def work(session: Session) -> None:
        one, two = session.get_one(Point, 1), session.get_one(Point, 2)
        options = {"synchronize_session": synchronize}
        session.execute(update(Point).where(Point.id == 1).values(x=99), execution_options=options)
        session.execute(delete(Point).where(Point.id == 2), execution_options=options)
        assert one.x == (10 if synchronize is False else 99)
        assert (two in session) is (synchronize is False)

    points.commit(work)

    assert _seen(points) == [("1", 2, "UPDATE", 99), ("2", 2, "DELETE", 20)]


def test_bulk_update_by_primary_key_publishes_the_rows_as_they_are_then(points: Service) -> None:
    def work(session: Session) -> None:
        session.execute(update(Point), [{"id": 1, "x": 11}, {"id": 3, "x": 33}])

    points.commit(work)

    assert _seen(points) == [("1", 2, "UPDATE", 11), ("3", 2, "UPDATE", 33)]


def test_bulk_update_by_a_composite_primary_key(service: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Seat(room="r", number=n) for n in (1, 2, 3)])
        session.execute(update(Seat), [{"room": "r", "number": n, "guest": f"g{n}"} for n in (1, 3)])

    service.commit(work)

    seats = [(e.key, e.json["guest"], e.json["state"]) for e in service.events if e.destination == "seatChanged"]
    assert sorted(seats[3:]) == [('["r",1]', "g1", "free"), ('["r",3]', "g3", "free")]


def test_core_statements_with_several_sets_of_parameters(points: Service) -> None:
    def work(session: Session) -> None:
        changed: Any = session.execute(
            update(POINTS).where(POINTS.c.id == bindparam("which")).values(x=bindparam("value")),
            [{"which": 1, "value": 11}, {"which": 2, "value": 22}, {"which": 99, "value": 0}],
        )
        assert changed.rowcount == 2
        session.execute(delete(POINTS).where(POINTS.c.id == bindparam("which")), [{"which": 2}, {"which": 3}])

    points.commit(work)

    assert _seen(points) == [
        ("1", 2, "UPDATE", 11),
        ("2", 2, "UPDATE", 22),
        ("2", 3, "DELETE", 22),
        ("3", 2, "DELETE", 30),
    ]


def test_pending_objects_and_messages_come_before_the_statement(points: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=4, x=40))
        publish(session, "out-bytes", b"x")
        session.execute(update(Point).where(Point.id == 4).values(x=41))

    points.commit(work)

    assert [(e.destination, e.seq) for e in points.events] == [
        ("bytes", None),
        ("pointChanged", 1),
        ("pointChanged", 2),
    ]


def test_rows_of_a_hierarchy_are_published_by_their_class(service: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Animal(id=1, name="a"), Cat(id=2, name="c"), Dog(id=3, name="d", breed="b")])
        session.flush()
        session.execute(update(Animal).values(name="n"))
        session.execute(delete(Dog))

    service.commit(work)

    changed = sorted((e.key, e.json["jobType"], e.json["eventType"]) for e in service.events[3:])
    assert changed == [
        ("1", "UPDATE", "AnimalChanged"),
        ("2", "UPDATE", "AnimalChanged"),
        ("3", "DELETE", "DogChanged"),
        ("3", "UPDATE", "DogChanged"),
    ]


def test_update_with_another_table_and_by_alias(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(LectureCategory(category_id=1, category_name="a"))
        session.add_all([Lecture(lecture_id=1, title="t", category_id=1), Lecture(lecture_id=2, title="u")])
        session.flush()
        same = Lecture.category_id == LectureCategory.category_id
        session.execute(update(Lecture).where(same, LectureCategory.category_name == "a").values(title="v"))
        other = aliased(Lecture)
        # Without RETURNING, SQLAlchemy looks for the objects in the session by a product of table and alias.
        unseen = {"synchronize_session": False}
        session.execute(update(other).where(other.lecture_id == 2).values(title="w"), execution_options=unseen)

    service.commit(work)

    assert [(e.key, e.json["title"]) for e in service.events[3:]] == [("1", "v"), ("2", "w")]


def test_build_sees_rows_of_a_statement_too(service: Service) -> None:
    if not service.captures_inserts:
        pytest.skip("no RETURNING for INSERT")

    def work(session: Session) -> None:
        session.execute(insert(Task), [{"id": 1, "label": "a"}, {"id": 2, "label": "b", "hidden": True}])

    service.commit(work)

    assert [e.json["label"] for e in service.events] == ["A"]


def test_rows_of_unpublished_classes_of_a_hierarchy_are_left_out(service: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Person(id=1, name="p"), Teacher(id=2, name="t"), Pupil(id=3, name="u")])
        session.flush()
        session.execute(update(Person).values(name="n"))
        session.execute(delete(Pupil))

    service.commit(work)

    assert service.shorts == [("2", 1, "INSERT"), ("2", 2, "UPDATE")]
