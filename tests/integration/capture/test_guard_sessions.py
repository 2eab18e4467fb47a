"""Whose sessions and classes are guarded: those of the application, until it lets them go."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session, sessionmaker

from streambind.errors import ConfigurationError, UncapturedChangeError
from streambind.outbound.publish import publish, suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import (
    LectureCategory,
    Point,
)

POINTS: Any = Point.__table__


def test_a_session_of_another_sessionmaker_is_refused_with_the_remedy(sync_service: Service) -> None:
    others = sessionmaker(sync_service.database.engine)
    with others() as session:
        session.add(Point(id=1, x=0))
        with pytest.raises(
            UncapturedChangeError, match=r"Point is published to out-pointChanged.*`stream\.sessions`"
        ):
            session.flush()
        session.rollback()
        with pytest.raises(UncapturedChangeError, match=r"no streambind application.*`stream\.sessions`"):
            publish(session, "out-bytes", b"x")


def test_a_session_of_another_sessionmaker_may_suppress(sync_service: Service) -> None:
    others = sessionmaker(sync_service.database.engine)
    with others() as session, others() as bystander:
        with suppress_events(session):
            session.add(Point(id=1, x=0))
            session.flush()
            with suppress_events(session):
                session.execute(update(Point).values(x=1))
            session.connection().execute(update(POINTS).values(x=2))
            session.commit()
            session.execute(text("UPDATE point SET x = 3"))
            session.commit()
        with pytest.raises(UncapturedChangeError):
            session.execute(text("UPDATE point SET x = 4"))
        session.rollback()
        with pytest.raises(UncapturedChangeError):
            bystander.execute(text("UPDATE point SET x = 5"))
        bystander.rollback()
    assert sync_service.events == []
    assert sync_service.do(lambda s: s.get_one(Point, 1).x) == 3


def test_a_class_that_the_application_does_not_include_is_refused(sync_service: Service) -> None:
    sync_service.capture.detach()
    narrow = sync_service.new_capture([LectureCategory])
    narrow.attach()

    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        with pytest.raises(UncapturedChangeError, match=r"models\.Point.*include="):
            session.flush()
        session.rollback()

    sync_service.do(work)
    narrow.detach()


def test_a_sessionmaker_has_one_application(service: Service) -> None:
    second = service.new_capture()
    with pytest.raises(ConfigurationError, match="another StreamApplication"):
        second.attach()
    service.capture.detach()
    second.attach()
    service.commit(lambda s: s.add(Point(id=1, x=0)))
    second.detach()
    service.capture.attach()
    service.commit(lambda s: s.add(Point(id=2, x=0)))

    assert service.shorts == [("1", 1, "INSERT"), ("2", 1, "INSERT")]


def test_nothing_is_captured_or_guarded_after_detach(sync_service: Service) -> None:
    sync_service.capture.detach()
    sync_service.capture.detach()

    def work(session: Session) -> None:
        with suppress_events(session):
            session.add(Point(id=1, x=0))
        session.execute(text("UPDATE point SET x = 1"))
        session.add(Point(id=2, x=0))
        with pytest.raises(UncapturedChangeError):
            session.flush()
        session.rollback()

    sync_service.do(work)

    assert sync_service.events == []
