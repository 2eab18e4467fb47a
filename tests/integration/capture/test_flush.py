"""What a flush of a published class writes into the outbox, row by row of what the unit of work can do."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from streambind.errors import CaptureError
from streambind.persistence.tables import SHARDS
from tests.integration.capture.conftest import AND_MYSQL, Service, engine_service
from tests.integration.capture.models import (
    Lecture,
    LectureCategory,
    Node,
    Seat,
    Task,
)


def _category(session: Session, number: int = 1, name: str = "old") -> LectureCategory:
    category = LectureCategory(category_id=number, category_name=name)
    session.add(category)
    session.commit()
    return category


@pytest.fixture(scope="module", params=AND_MYSQL)
def any_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


def test_insert_update_and_delete_become_events_in_order(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session)
        category.category_name = "new"
        session.commit()
        session.delete(category)
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "UPDATE"), ("1", 3, "DELETE")]
    assert [event.json["categoryName"] for event in service.events] == ["old", "new", "new"]
    assert len(service.woken) == 3


def test_the_row_says_what_the_relay_needs(service: Service) -> None:
    service.do(_category)

    [event] = service.events
    assert (event.binding, event.destination) == ("out-categoryChanged", "categoryChanged")
    assert event.shard == crc32(b"1") % SHARDS
    assert event.event_id.version == 7
    assert list(event.headers) == ["type", "contentType", "spring_json_header_types"]
    assert event.headers["type"] == b"LectureCategoryChanged"
    assert event.headers["contentType"] == b"application/json"


def test_an_update_without_a_net_change_is_no_event(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session)
        category.category_name = str(category.category_name)
        session.commit()
        session.refresh(category)
        category.category_name = "other"
        category.category_name = "old"
        session.flush()
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT")]


def test_a_change_of_a_collection_is_no_event_of_its_owner(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session)
        category.lectures.append(Lecture(lecture_id=5, title="t"))
        session.commit()

    service.do(work)

    assert [(e.destination, *e.short) for e in service.events] == [
        ("categoryChanged", "1", 1, "INSERT"),
        ("lectureChanged", "5", 1, "INSERT"),
    ]
    assert service.events[1].json["categoryId"] == 1


def test_a_change_of_a_column_that_the_event_does_not_have_is_an_event(service: Service) -> None:
    def work(session: Session) -> None:
        _category(session).remark = "x"
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "UPDATE")]


def test_every_flush_of_a_transaction_is_an_event(service: Service) -> None:
    def work(session: Session) -> None:
        category = LectureCategory(category_id=1, category_name="a")
        session.add(category)
        session.flush()
        category.category_name = "b"
        session.flush()
        category.category_name = "c"
        session.commit()

    service.do(work)

    assert [e.json["categoryName"] for e in service.events] == ["a", "b", "c"]
    assert [e.seq for e in service.events] == [1, 2, 3]
    assert len(service.woken) == 1


def test_an_orphan_that_is_deleted_is_a_delete(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session)
        category.lectures.append(Lecture(lecture_id=5, title="t"))
        session.commit()
        category.lectures.clear()
        session.commit()

    service.do(work)

    assert [e.short for e in service.events if e.destination == "lectureChanged"] == [
        ("5", 1, "INSERT"),
        ("5", 2, "DELETE"),
    ]
    assert service.events[-1].json["categoryId"] == 1


def test_children_deleted_with_their_parent_are_deletes(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session)
        category.lectures.extend([Lecture(lecture_id=5, title="t"), Lecture(lecture_id=6, title="u")])
        session.commit()
        session.expunge_all()
        session.delete(session.get_one(LectureCategory, 1))
        session.commit()

    service.do(work)

    deleted = {(e.destination, e.key) for e in service.events if e.json["jobType"] == "DELETE"}
    assert deleted == {("lectureChanged", "5"), ("lectureChanged", "6"), ("categoryChanged", "1")}


def test_a_foreign_key_filled_in_by_the_flush_is_a_change(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session)
        lecture = Lecture(lecture_id=5, title="t")
        session.add(lecture)
        session.commit()
        lecture.category = category
        session.commit()

    service.do(work)

    assert [e.json["categoryId"] for e in service.events if e.destination == "lectureChanged"] == [None, 1]


def test_a_column_written_by_a_second_update_is_a_change(service: Service) -> None:
    def work(session: Session) -> None:
        one, two = Node(id=1, name="one"), Node(id=2, name="two")
        session.add_all([one, two])
        session.commit()
        one.favourite = two
        two.favourite = one
        session.commit()

    service.do(work)

    assert sorted(service.shorts) == [
        ("1", 1, "INSERT"),
        ("1", 2, "UPDATE"),
        ("2", 1, "INSERT"),
        ("2", 2, "UPDATE"),
    ]


def test_a_row_that_is_unlinked_before_it_is_deleted_is_a_delete(service: Service) -> None:
    """The unit of work sends an UPDATE before any hook of the class has been called."""

    def work(session: Session) -> None:
        one, two = Node(id=1, name="one"), Node(id=2, name="two")
        session.add_all([one, two])
        session.flush()
        one.favourite = two
        two.favourite = one
        session.commit()
        assert (one.favourite, two.favourite) == (two, one)
        session.delete(one)
        session.delete(two)
        session.commit()

    service.do(work)

    assert sorted(e.short for e in service.events if e.json["jobType"] == "DELETE") == [
        ("1", 3, "DELETE"),
        ("2", 3, "DELETE"),
    ]


def test_a_value_computed_by_the_database_is_a_change_and_is_read_back(service: Service) -> None:
    def work(session: Session) -> None:
        lecture = Lecture(lecture_id=5, title="t")
        session.add(lecture)
        session.commit()
        lecture.title = Lecture.title + "!"
        session.commit()

    service.do(work)

    assert [e.json["title"] for e in service.events] == ["t", "t!"]


def test_server_defaults_and_deferred_columns_are_in_the_event(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Seat(room="r", number=1, notes="n"))
        session.commit()
        session.expunge_all()
        seat = session.scalars(select(Seat)).one()
        assert "notes" in inspect(seat).unloaded
        session.delete(seat)
        session.commit()

    service.do(work)

    for event in service.events:
        assert event.json["state"] == "free"
        assert event.json["notes"] == "n"


def test_build_makes_the_event_and_may_leave_a_change_out(service: Service) -> None:
    service.commit(lambda s: s.add_all([Task(id=1, label="a"), Task(id=2, label="b", hidden=True)]))

    assert [(e.key, e.json["label"]) for e in service.events] == [("1", "A")]


def test_a_build_that_fails_fails_the_transaction(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Task(id=1, label=None))
        with pytest.raises(CaptureError, match="Task for binding out-summary"):
            session.commit()
        session.rollback()

    service.do(work)

    assert service.events == []
    assert service.do(lambda s: s.get(Task, 1)) is None
