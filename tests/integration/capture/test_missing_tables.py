"""Events without streambind's tables: the remedy is named, and nothing is committed without its event."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from streambind.errors import CaptureError, SchemaError
from streambind.outbound.publish import publish
from streambind.persistence.schema import create_tables
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import Bystander, Point


def _commits_an_entity(session: Session) -> None:
    session.add(Point(id=1, x=0))
    session.commit()


def _executes_a_bulk_statement(session: Session) -> None:
    session.execute(insert(Point).values(id=1, x=0))


def _publishes(session: Session) -> None:
    session.add(Bystander(id=1, name="a"))
    publish(session, "out-bytes", b"x", key="1")
    session.commit()


@pytest.fixture
def bare(service: Service) -> Iterator[Service]:
    """The service without streambind's tables."""
    service.connected(service.database.tables.metadata.drop_all)
    service.database.command_target = "config/category"
    yield service
    create_tables(service.database)


@pytest.mark.parametrize("work", [_commits_an_entity, _executes_a_bulk_statement, _publishes])
def test_the_remedy_is_named_and_nothing_is_committed(bare: Service, work: Callable[[Session], None]) -> None:
    if work is _executes_a_bulk_statement and not bare.captures_inserts:
        pytest.skip("no RETURNING for INSERT")

    def tried(session: Session) -> SchemaError:
        with pytest.raises(SchemaError, match=r"`streambind outbox create-tables config/category`") as raised:
            work(session)
        # Whoever swallows the error cannot commit all the same.
        with pytest.raises((CaptureError, SQLAlchemyError)):
            session.commit()
        session.rollback()
        return raised.value

    error = bare.do(tried)

    told = "".join(traceback.format_exception(error))
    assert "INSERT" not in told.replace("insert(", "")
    assert ("start the application once" in str(error)) is (bare.dialect == "sqlite")
    counted: list[Any] = bare.connected(
        lambda c: [c.scalar(select(func.count()).select_from(cls)) for cls in (Point, Bystander)]
    )
    assert counted == [0, 0]


def test_a_table_of_the_users_own_that_is_missing_stays_the_databases_error(service: Service) -> None:
    table: Any = Point.__table__
    service.connected(table.drop)

    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        with pytest.raises(SQLAlchemyError, match="point"):
            session.flush()
        session.rollback()

    service.do(work)
    service.connected(table.create)
