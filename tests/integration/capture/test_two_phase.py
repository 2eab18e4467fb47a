"""Events in two-phase commits: rows are part of what is prepared; waking and sending wait for the second phase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from streambind.outbound.publish import publish
from tests.integration.capture.conftest import Service, close_service, make_service
from tests.integration.capture.models import Point
from tests.services import FreshDatabases, PostgresServer


@pytest.fixture
def two_phase(own_postgres: PostgresServer) -> Iterator[Service]:
    address = make_url(own_postgres.address).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
    own_postgres.restart()
    service = make_service(FreshDatabases(own_postgres.address).new_database(), twophase=True)
    yield service
    close_service(service)


def test_the_second_phase_wakes_and_sends(two_phase: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        publish(session, "out-late", b"late")
        session.prepare()
        assert (two_phase.events, two_phase.woken, two_phase.sent) == ([], [], [])
        session.commit()

    two_phase.do(work)

    assert two_phase.shorts == [("1", 1, "INSERT")]
    assert [m.payload for m in two_phase.sent] == [b"late"]
    assert len(two_phase.woken) == 1


def test_a_prepared_transaction_that_rolls_back_leaves_nothing(two_phase: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        publish(session, "out-late", b"late")
        session.prepare()
        session.rollback()

    two_phase.do(work)

    assert (two_phase.events, two_phase.woken, two_phase.sent) == ([], [], [])
    prepared: Any = two_phase.connected(lambda c: c.scalar(text("SELECT count(*) FROM pg_prepared_xacts")))
    assert prepared == 0
