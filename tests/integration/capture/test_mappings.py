"""Every way of mapping a class, and hierarchies of classes."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tests.integration.capture.conftest import Service
from tests.integration.capture.models import (
    Animal,
    Car,
    Cat,
    Dog,
    Point,
    Spot,
    Vehicle,
)


def test_subclasses_are_published_by_what_they_inherit_or_declare(service: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Animal(id=1, name="a"), Cat(id=2, name="c"), Dog(id=3, name="d", breed="b")])
        session.commit()

    service.do(work)

    types = {e.key: e.json["eventType"] for e in service.events}
    assert types == {"1": "AnimalChanged", "2": "AnimalChanged", "3": "DogChanged"}


def test_a_class_in_two_tables_is_published_and_its_unpublished_parent_is_not(service: Service) -> None:
    def work(session: Session) -> None:
        car = Car(id=1, maker="m", doors=3)
        session.add_all([car, Vehicle(id=2, maker="n")])
        session.commit()
        car.maker = "o"
        session.commit()
        session.delete(car)
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "UPDATE"), ("1", 3, "DELETE")]
    assert service.events[1].json["maker"] == "o"


def test_equal_objects_are_different_changes(service: Service) -> None:
    service.commit(lambda s: s.add_all([Point(id=1, x=0), Point(id=2, x=0)]))

    assert service.shorts == [("1", 1, "INSERT"), ("2", 1, "INSERT")]


def test_an_imperative_mapping_made_after_the_mark_is_captured(service: Service) -> None:
    def work(session: Session) -> None:
        spot = Spot(id=1, x=0)
        session.add(spot)
        session.commit()
        spot.x = 1
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("1", 2, "UPDATE")]
