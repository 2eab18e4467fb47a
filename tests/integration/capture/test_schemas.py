"""Published tables in schemas: which statement means which table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind.errors import UncapturedChangeError
from streambind.outbound.publishes import publishes
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import PointChanged


class Base(DeclarativeBase):
    pass


@publishes("out-pointChanged", PointChanged)
class Stored(Base):
    """Published, in a schema."""

    __tablename__ = "thing"
    __table_args__ = {"schema": "archive"}  # noqa: RUF012 - SQLAlchemy's way of declaring
    id: Mapped[int] = mapped_column(primary_key=True)
    x: Mapped[int]


class Thing(Base):
    """Not published, of the same name, without schema."""

    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    x: Mapped[int]


@publishes("out-pointChanged", PointChanged)
class Tenanted(Base):
    """Published, in a schema that each tenant has another one for."""

    __tablename__ = "tenanted"
    __table_args__ = {"schema": "tenant"}  # noqa: RUF012 - SQLAlchemy's way of declaring
    id: Mapped[int] = mapped_column(primary_key=True)
    x: Mapped[int]


STORED: Any = Stored.__table__
TENANTED: Any = Tenanted.__table__
TENANT = {"schema_translate_map": {"tenant": "tenant_a"}}


@pytest.fixture
def schemas(postgres_service: Service) -> Iterator[Service]:
    def create(connection: Connection) -> None:
        for name in ("archive", "tenant", "tenant_a"):
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        Base.metadata.create_all(connection)
        TENANTED.create(connection.execution_options(**TENANT))

    def drop(connection: Connection) -> None:
        for name in ("archive", "tenant", "tenant_a"):
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
        connection.exec_driver_sql("DROP TABLE thing")

    postgres_service.capture.detach()
    capture = postgres_service.new_capture([Stored, Tenanted])
    postgres_service.connected(create)
    capture.attach()
    yield postgres_service
    capture.detach()
    postgres_service.connected(drop)


def test_tables_of_one_name_are_told_apart(schemas: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Stored(id=1, x=0), Thing(id=2, x=0)])
        session.flush()
        session.execute(update(Stored).values(x=1))
        session.connection().execute(update(Thing).values(x=1))
        session.execute(text("UPDATE thing SET x = 2"))
        session.execute(text("UPDATE public.thing SET x = 3"))
        session.commit()
        for sql in ("UPDATE archive.thing SET x = 9", 'DELETE FROM "archive"."thing"'):
            with pytest.raises(UncapturedChangeError, match=r"archive\.thing"):
                session.execute(text(sql))
            session.rollback()
        assert session.scalars(select(Stored.x)).all() == [1]
        assert session.scalars(select(Thing.x)).all() == [3]

    schemas.do(work)

    assert schemas.shorts == [("1", 1, "INSERT"), ("1", 2, "UPDATE")]


def test_translated_schemas_are_seen_through(schemas: Service) -> None:
    def work(session: Session) -> None:
        session.connection(execution_options=TENANT)
        session.add_all([Tenanted(id=n, x=0) for n in range(500)])
        session.flush()
        session.execute(update(Tenanted).where(Tenanted.id == 1).values(x=1))
        with pytest.raises(UncapturedChangeError, match=r"tenant\.tenanted"):
            session.connection().execute(update(TENANTED).values(x=9))
        session.commit()
        session.connection(execution_options=TENANT)
        with pytest.raises(UncapturedChangeError, match=r"tenant\.tenanted"):
            session.bulk_insert_mappings(Tenanted, [{"id": n, "x": 0} for n in range(1000, 1500)])
        session.rollback()

    schemas.do(work)

    assert len(schemas.events) == 501
    assert schemas.events[-1].short == ("1", 2, "UPDATE")
    stored = schemas.connected(lambda c: c.scalar(text("SELECT count(*) FROM tenant_a.tenanted")))
    assert stored == 500
