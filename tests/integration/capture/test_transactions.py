"""Events live and die with the transaction, the savepoint and the outer transaction that they belong to."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from streambind.errors import CaptureError, PayloadTooLargeError
from streambind.outbound.flush_changes import recording
from streambind.outbound.publish import publish
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import Point


def test_nothing_is_left_of_a_transaction_that_rolls_back(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        session.flush()
        publish(session, "out-bytes", b"x", key=1)
        session.rollback()
        session.commit()

    service.do(work)

    assert service.events == []
    assert service.woken == []


def test_a_session_that_is_closed_without_commit_leaves_nothing_for_its_next_transaction(
    service: Service,
) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        session.flush()
        publish(session, "out-late", b"x", key=1)
        session.close()
        session.add(Point(id=2, x=0))
        session.commit()

    service.do(work)

    assert service.shorts == [("2", 1, "INSERT")]
    assert service.sent == []


def test_a_savepoint_that_rolls_back_takes_its_events_along(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        with session.begin_nested():
            session.add(Point(id=2, x=0))
            publish(session, "out-bytes", b"kept", key=9)
        savepoint = session.begin_nested()
        session.add(Point(id=3, x=0))
        session.flush()
        publish(session, "out-bytes", b"lost", key=9)
        session.flush()
        savepoint.rollback()
        publish(session, "out-bytes", b"after", key=9)
        session.commit()

    service.do(work)

    assert [(e.destination, e.key, e.seq) for e in service.events] == [
        ("pointChanged", "1", 1),
        ("bytes", "9", 1),
        ("pointChanged", "2", 1),
        ("bytes", "9", 2),
    ]
    assert [e.payload for e in service.events if e.destination == "bytes"] == [b"kept", b"after"]


def test_what_was_published_before_a_savepoint_outlives_its_rollback(service: Service) -> None:
    def work(session: Session) -> None:
        publish(session, "out-bytes", b"before", key=9)
        savepoint = session.begin_nested()
        # The flush inside writes what is pending.
        session.add(Point(id=1, x=0))
        session.flush()
        savepoint.rollback()
        session.commit()

    service.do(work)

    assert [e.payload for e in service.events] == [b"before"]


def test_what_was_published_inside_a_savepoint_is_gone_though_nothing_was_flushed(service: Service) -> None:
    def work(session: Session) -> None:
        savepoint = session.begin_nested()
        publish(session, "out-bytes", b"inside", key=9)
        savepoint.rollback()
        session.commit()

    service.do(work)

    assert service.events == []


def test_savepoints_within_savepoints(service: Service) -> None:
    def work(session: Session) -> None:
        for mode in ("outbox", "late"):
            binding = "out-bytes" if mode == "outbox" else "out-late"
            publish(session, binding, b"0")
            outer = session.begin_nested()
            publish(session, binding, b"1")
            inner = session.begin_nested()
            publish(session, binding, b"2")
            inner.commit()
            publish(session, binding, b"3")
            outer.rollback()
            publish(session, binding, b"4")
            with session.begin_nested():
                publish(session, binding, b"5")
        session.commit()

    service.do(work)

    assert [e.payload for e in service.events] == [b"0", b"4", b"5"]
    assert [m.payload for m in service.sent] == [b"0", b"4", b"5"]


def test_a_flush_that_fails_leaves_nothing_and_the_session_goes_on(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        session.commit()
        session.expunge_all()
        session.add_all([Point(id=2, x=0), Point(id=1, x=0)])
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(Point(id=3, x=0))
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("3", 1, "INSERT")]


def test_nothing_is_recorded_of_a_flush_that_is_over_however_it_ended(service: Service) -> None:
    """What stands under the ids of sessions would stay for ever."""

    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        session.flush()
        assert recording(session.hash_key) is None
        session.expunge_all()
        session.add_all([Point(id=2, x=0), Point(id=1, x=0)])
        with pytest.raises(IntegrityError):
            session.flush()
        assert recording(session.hash_key) is None

    service.do(work)


def test_nothing_is_recorded_once_a_session_is_closed_whose_rollback_failed(sync_service: Service) -> None:
    def gone(_: object) -> None:
        raise OSError("the connection is gone")

    engine = sync_service.database.engine

    def work(session: Session) -> int:
        session.add_all([Point(id=1, x=0), Point(id=1, x=1)])
        event.listen(engine, "rollback", gone)
        try:
            with pytest.raises(OSError, match="gone"):
                session.flush()
        finally:
            event.remove(engine, "rollback", gone)
        return session.hash_key

    assert recording(sync_service.do(work)) is None


def test_a_flush_that_fails_inside_a_savepoint_leaves_the_rest(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        session.flush()
        publish(session, "out-late", b"before")
        savepoint = session.begin_nested()
        publish(session, "out-late", b"inside")
        publish(session, "out-bytes", b"inside")
        session.connection()
        session.add(Point(id=1, x=1))
        with pytest.raises(IntegrityError):
            savepoint.commit()
        savepoint.rollback()
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT")]
    assert [m.payload for m in service.sent] == [b"before"]


@pytest.mark.parametrize("mode", ["create_savepoint", "rollback_only", "conditional_savepoint"])
@pytest.mark.parametrize("commits", [True, False])
def test_a_session_joined_to_an_outer_transaction_publishes_with_that_one(
    service: Service, mode: Any, *, commits: bool
) -> None:
    def work(session: Session) -> None:
        with service.database.engine.connect() as connection, connection.begin() as outer:
            with type(session)(bind=connection, join_transaction_mode=mode) as joined:
                joined.add(Point(id=1, x=0))
                publish(joined, "out-bytes", b"x", key=9)
                joined.commit()
            if commits:
                outer.commit()
            else:
                outer.rollback()

    service.do(work)

    expected = [("9", 1, None), ("1", 1, "INSERT")] if commits else []
    assert service.shorts == expected


def test_publish_after_the_transaction_is_an_error(service: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Point(id=1, x=0), Point(id=1, x=1)])
        with pytest.raises(IntegrityError):
            session.flush()
        with pytest.raises(CaptureError, match="must be rolled back"):
            publish(session, "out-bytes", b"x")

    service.do(work)


def test_an_event_that_is_too_large_fails_the_flush_in_the_users_hands(service: Service) -> None:
    def work(session: Session) -> None:
        with pytest.raises(PayloadTooLargeError, match=r"out-small.*11 bytes.*10 bytes"):
            publish(session, "out-small", b"x" * 11)
        publish(session, "out-small", b"x" * 10)
        session.commit()

    service.do(work)

    assert [e.payload for e in service.events] == [b"x" * 10]
