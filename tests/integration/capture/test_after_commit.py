"""`producer.publish: after-commit`: sent by the commit of the whole transaction, in order, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from streambind.configuration.properties import Publish
from streambind.outbound.publish import publish
from streambind.persistence.database import Database
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import Point


@pytest.fixture
def late(service: Service) -> Iterator[Service]:
    """Points are published after the commit."""
    yield from _with_points_late(service)


@pytest.fixture
def sync_late(sync_service: Service) -> Iterator[Service]:
    """The same on synchronous engines."""
    yield from _with_points_late(sync_service)


def _with_points_late(service: Service) -> Iterator[Service]:
    plan = service.plans["out-pointChanged"]
    plan.publish = Publish.AFTER_COMMIT
    yield service
    plan.publish = Publish.OUTBOX


def _sent(service: Service) -> list[bytes | None]:
    return [message.key or message.payload for message in service.sent]


def test_the_commit_sends_in_order_and_writes_no_rows(late: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Point(id=1, x=0), Point(id=2, x=0)])
        session.flush()
        publish(session, "out-late", b"last")
        session.flush()
        assert late.sent == []
        session.commit()

    late.do(work)

    assert _sent(late) == [b"1", b"2", b"last"]
    assert late.events == []


def test_what_one_flush_writes_and_what_it_leaves_to_the_commit_are_kept_apart(service: Service) -> None:
    def work(session: Session) -> None:
        for number, binding in enumerate(["out-bytes", "out-late", "out-bytes", "out-late"]):
            publish(session, binding, b"%d" % number)

    service.commit(work)

    assert [event.payload for event in service.events] == [b"0", b"2"]
    assert [message.payload for message in service.sent] == [b"1", b"3"]


def test_every_transaction_sends_its_own(late: Service) -> None:
    def work(session: Session) -> None:
        for number in (1, 2):
            session.add(Point(id=number, x=0))
            session.commit()
            assert len(late.sent) == number
        session.add(Point(id=3, x=0))
        session.flush()
        session.rollback()
        session.commit()

    late.do(work)

    assert _sent(late) == [b"1", b"2"]


def test_the_release_of_a_savepoint_sends_nothing_and_its_rollback_takes_along(late: Service) -> None:
    def work(session: Session) -> None:
        with session.begin_nested():
            session.add(Point(id=1, x=0))
        savepoint = session.begin_nested()
        session.add(Point(id=2, x=0))
        session.flush()
        savepoint.rollback()
        assert late.sent == []
        session.commit()

    late.do(work)

    assert _sent(late) == [b"1"]


@pytest.fixture
def strict(sync_late: Service) -> Iterator[Any]:
    """A table whose rows let the COMMIT fail."""
    if sync_late.dialect == "mysql":
        pytest.skip("nothing is looked at as late as that")
    metadata = MetaData()
    parent = Table("strict_parent", metadata, Column("id", Integer, primary_key=True))
    target = ForeignKey(parent.c.id, deferrable=True, initially="DEFERRED")
    child = Table("strict_child", metadata, Column("id", target, primary_key=True))
    sync_late.connected(metadata.create_all)
    _check_foreign_keys(sync_late, "ON")
    yield child
    _check_foreign_keys(sync_late, "OFF")
    sync_late.connected(metadata.drop_all)


def _check_foreign_keys(service: Service, value: str) -> None:
    """SQLite has this by connection, and outside of transactions only: the pool gives the same one next."""
    if service.dialect == "sqlite":
        with service.database.engine.connect() as connection:
            connection.connection.execute(f"PRAGMA foreign_keys = {value}")


def test_a_commit_that_fails_sends_nothing(sync_late: Service, strict: Any) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        session.execute(insert(strict).values(id=7))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(Point(id=2, x=0))
        session.commit()

    sync_late.do(work)

    assert _sent(sync_late) == [b"2"]


def test_an_outer_commit_that_fails_sends_nothing(sync_late: Service, strict: Any) -> None:
    with sync_late.database.engine.connect() as connection:
        outer = connection.begin()
        _joined(sync_late, connection, "create_savepoint", 1)
        connection.execute(insert(strict).values(id=7))
        with pytest.raises(IntegrityError):
            outer.commit()
        # SQLite leaves the transaction open, and SQLAlchemy takes it for ended.
        connection.connection.rollback()
    with sync_late.database.engine.connect() as connection, connection.begin():
        _joined(sync_late, connection, "create_savepoint", 2)

    assert _sent(sync_late) == [b"2"]


def test_what_the_hook_raises_is_logged_and_never_reaches_the_caller(
    late: Service, caplog: pytest.LogCaptureFixture
) -> None:
    late.trouble = RuntimeError("the broker is away")
    with caplog.at_level(logging.ERROR, "streambind.capture"):
        late.commit(lambda s: s.add(Point(id=1, x=0)))

    assert "the broker is away" in caplog.text
    assert late.do(lambda s: s.get(Point, 1)) is not None


MODES = ["create_savepoint", "rollback_only", "conditional_savepoint", "control_fully"]


def _joined(service: Service, connection: Any, mode: Any, number: int) -> None:
    sessions: Any = service.database.sessions
    with sessions(bind=connection, join_transaction_mode=mode) as session:
        session.add(Point(id=number, x=0))
        session.commit()


@pytest.mark.parametrize("mode", MODES[:3])
def test_a_joined_session_sends_when_the_outer_transaction_is_committed(sync_late: Service, mode: str) -> None:
    with sync_late.database.engine.connect() as connection:
        with connection.begin():
            _joined(sync_late, connection, mode, 1)
            _joined(sync_late, connection, mode, 2)
            assert sync_late.sent == []
        with connection.begin():
            assert _sent(sync_late) == [b"1", b"2"]
            _joined(sync_late, connection, mode, 3)
    assert _sent(sync_late) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("mode", MODES[:3])
def test_a_joined_session_sends_nothing_when_the_outer_transaction_is_rolled_back(
    sync_late: Service, mode: str
) -> None:
    with sync_late.database.engine.connect() as connection:
        outer = connection.begin()
        _joined(sync_late, connection, mode, 1)
        outer.rollback()
        with connection.begin():
            _joined(sync_late, connection, mode, 2)
        # Closed with an open transaction: that is a rollback.
        connection.begin()
        _joined(sync_late, connection, mode, 3)
    assert _sent(sync_late) == [b"2"]


def test_a_session_in_control_of_the_outer_transaction_sends_at_its_own_commit(sync_late: Service) -> None:
    with sync_late.database.engine.connect() as connection:
        connection.begin()
        _joined(sync_late, connection, "control_fully", 1)
        assert _sent(sync_late) == [b"1"]


def test_a_session_on_an_idle_connection_sends_at_its_own_commit(sync_late: Service) -> None:
    with sync_late.database.engine.connect() as connection:
        _joined(sync_late, connection, "create_savepoint", 1)
        assert _sent(sync_late) == [b"1"]


def test_savepoints_of_the_outer_transaction_are_followed(sync_late: Service) -> None:
    with sync_late.database.engine.connect() as connection, connection.begin():
        _joined(sync_late, connection, "create_savepoint", 1)
        released = connection.begin_nested()
        _joined(sync_late, connection, "create_savepoint", 2)
        released.commit()
        lost = connection.begin_nested()
        _joined(sync_late, connection, "create_savepoint", 3)
        inner = connection.begin_nested()
        _joined(sync_late, connection, "create_savepoint", 4)
        inner.commit()
        lost.rollback()
        _joined(sync_late, connection, "create_savepoint", 5)
    assert _sent(sync_late) == [b"1", b"2", b"5"]
    assert sync_late.do(lambda s: sorted(p.id for p in s.query(Point))) == [1, 2, 5]


def test_a_savepoint_older_than_what_waits_takes_everything_along(sync_late: Service) -> None:
    with sync_late.database.engine.connect() as connection, connection.begin():
        outer = connection.begin_nested()
        _joined(sync_late, connection, "create_savepoint", 1)
        outer.rollback()
        _joined(sync_late, connection, "create_savepoint", 2)
    assert _sent(sync_late) == [b"2"]


def test_two_applications_on_one_engine_are_followed_once(sync_late: Service) -> None:
    engine = sync_late.database.engine
    other = Service(Database(sessionmaker(engine), loop=sync_late.database.loop), sync_late.plans)
    other.capture.attach()
    for number, last in ((1, False), (3, True)):
        with engine.connect() as connection, connection.begin():
            _joined(sync_late, connection, "create_savepoint", number)
            lost = connection.begin_nested()
            _joined(sync_late, connection, "create_savepoint", number + 1)
            lost.rollback()
        assert _sent(sync_late)[-1] == str(number).encode()
        if not last:
            other.commit(lambda s: s.add(Point(id=9, x=0)))
            other.capture.detach()

    assert _sent(sync_late) == [b"1", b"3"]
    assert _sent(other) == [b"9"]


def test_the_relay_is_woken_when_the_outer_transaction_is_committed(sync_service: Service) -> None:
    with sync_service.database.engine.connect() as connection, connection.begin():
        _joined(sync_service, connection, "create_savepoint", 1)
        assert sync_service.woken == []
    assert len(sync_service.woken) == 1
