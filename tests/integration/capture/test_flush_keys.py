"""Keys of what a flush writes, and the values that rows had before it."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session

from streambind.outbound.publish import suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import (
    LectureCategory,
    Seat,
)


def _category(session: Session, number: int = 1, name: str = "old") -> LectureCategory:
    category = LectureCategory(category_id=number, category_name=name)
    session.add(category)
    session.commit()
    return category


def test_a_composite_key_is_a_compact_json_array(service: Service) -> None:
    service.commit(lambda s: s.add(Seat(room="r", number=1)))

    assert [(e.destination, e.key) for e in service.events] == [
        ("seatChanged", '["r",1]'),
        ("roomChanged", "r"),
    ]


def test_two_events_of_one_key_in_one_flush_get_two_numbers(service: Service) -> None:
    service.commit(lambda s: s.add_all([Seat(room="r", number=1), Seat(room="r", number=2)]))

    rooms = [(e.seq, e.json["number"]) for e in service.events if e.destination == "roomChanged"]
    assert rooms == [(1, 1), (2, 2)]


def test_a_changed_primary_key_deletes_the_old_key_and_inserts_the_new_one(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session, 1, "old")
        category.category_id = 2
        category.category_name = "new"
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "DELETE"), ("2", 1, "INSERT")]
    assert service.events[1].json["categoryName"] == "old"
    assert service.events[2].json["categoryName"] == "new"


def test_a_changed_coarser_key_moves_the_event_with_old_values_that_were_never_read(service: Service) -> None:
    def work(session: Session) -> None:
        seat = Seat(room="a", number=1, guest="g")
        session.add(seat)
        session.commit()
        with session.no_autoflush:
            # Everything is expired: the guest is overwritten without having been read.
            seat.guest = "h"
            seat.room = "b"
        session.commit()

    service.do(work)

    rooms = [(e.key, e.seq, e.json["jobType"], e.json["guest"]) for e in service.events[2:]]
    assert rooms == [
        ('["a",1]', 2, "DELETE", "g"),
        ('["b",1]', 1, "INSERT", "h"),
        ("a", 2, "DELETE", "g"),
        ("b", 1, "INSERT", "h"),
    ]


def test_a_changed_primary_key_is_another_entity_though_the_coarser_key_stays(service: Service) -> None:
    def work(session: Session) -> None:
        seat = Seat(room="a", number=1)
        session.add(seat)
        session.commit()
        seat.number = 2
        session.commit()

    service.do(work)

    rooms = [(*e.short, e.json["number"]) for e in service.events if e.destination == "roomChanged"]
    assert rooms == [("a", 1, "INSERT", 1), ("a", 2, "DELETE", 1), ("a", 3, "INSERT", 2)]


def test_a_delete_carries_the_values_of_the_row_not_those_in_memory(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session, 1, "stored")
        category.category_name = "never stored"
        with session.no_autoflush:
            session.delete(category)
            session.commit()

    service.do(work)

    assert service.events[-1].short == ("1", 2, "DELETE")
    assert service.events[-1].json["categoryName"] == "stored"


def test_a_row_deleted_and_added_in_one_flush_is_an_update(service: Service) -> None:
    def work(session: Session) -> None:
        category = _category(session, 1, "old")
        session.delete(category)
        session.add(LectureCategory(category_id=1, category_name="new"))
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "UPDATE")]
    assert service.events[1].json["categoryName"] == "new"


def test_what_a_replacing_row_does_not_set_is_read_back(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Seat(room="a", number=1, notes="kept"))
        session.commit()
        session.delete(session.scalars(select(Seat)).one())
        session.add(Seat(room="a", number=1, guest="g"))
        session.commit()

    service.do(work)

    [replaced] = [e for e in service.events if e.short == ('["a",1]', 2, "UPDATE")]
    assert replaced.json["state"] == "free"
    stored = service.connected(lambda c: c.execute(select(Seat.guest, Seat.notes)).one())
    assert (replaced.json["guest"], replaced.json["notes"]) == tuple(stored)


def test_a_row_that_is_gone_before_its_delete_was_read_is_no_event(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Seat(room="r", number=1))
        session.commit()
        session.expunge_all()
        seat = session.scalars(select(Seat)).one()
        session.commit()
        session.refresh(seat)
        with suppress_events(session):
            session.connection().execute(delete(Seat))
        session.delete(seat)
        with pytest.warns(SAWarning, match="0 were matched"):
            session.commit()

    service.do(work)

    assert [(e.destination, *e.short) for e in service.events] == [
        ("seatChanged", '["r",1]', 1, "INSERT"),
        ("roomChanged", "r", 1, "INSERT"),
    ]
