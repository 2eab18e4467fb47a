"""No way around capture but `suppress_events`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, ForeignKey, delete, event, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, registry, relationship

from streambind.errors import UncapturedChangeError
from streambind.outbound.publish import suppress_events
from streambind.outbound.publishes import publishes
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import (
    Album,
    Bystander,
    Lecture,
    LectureCategory,
    Page,
    Point,
    PointChanged,
)

POINTS: Any = Point.__table__

Change = Callable[[Session], Any]


def _in_a_common_table_expression(session: Session) -> Any:
    changed = update(POINTS).values(x=1).returning(POINTS.c.id).cte("changed")
    return session.execute(select(changed))


def _quoted(session: Session, name: str) -> str:
    return session.get_bind().dialect.identifier_preparer.quote_identifier(name)


UNSEEN: dict[str, Change] = {
    "bulk_save_objects": lambda s: s.bulk_save_objects([Point(id=9, x=0)]),
    "bulk_insert_mappings": lambda s: s.bulk_insert_mappings(Point, [{"id": 9, "x": 0}]),
    "bulk_update_mappings": lambda s: s.bulk_update_mappings(Point, [{"id": 1, "x": 0}]),
    "session.connection": lambda s: s.connection().execute(update(POINTS).values(x=1)),
    "text": lambda s: s.execute(text("UPDATE point SET x = 1")),
    "text in two statements": lambda s: s.execute(text("UPDATE bystander SET name = ''; UPDATE point SET x = 1")),
    "driver SQL": lambda s: s.connection().exec_driver_sql(f"DELETE /* all */ FROM {_quoted(s, 'point')}"),
    "driver SQL with a schema": lambda s: s.connection().exec_driver_sql(
        f"DELETE FROM {s.get_bind().dialect.default_schema_name}.point"
    ),
    "from_statement": lambda s: s.scalars(
        select(Point).from_statement(insert(Point).values(id=9, x=0).returning(Point))
    ).all(),
}


@pytest.mark.parametrize("way", UNSEEN)
def test_a_change_that_nothing_captures_is_refused(service: Service, way: str) -> None:
    service.commit(lambda s: s.add(Point(id=1, x=10)))

    def work(session: Session) -> None:
        with pytest.raises(UncapturedChangeError, match=r"point.*Point.*suppress_events"):
            UNSEEN[way](session)
        session.rollback()

    service.do(work)

    assert service.do(lambda s: [(p.id, p.x) for p in s.scalars(select(Point))]) == [(1, 10)]
    assert service.shorts == [("1", 1, "INSERT")]


@pytest.mark.parametrize("way", [w for w in UNSEEN if w != "text in two statements"])
def test_suppress_events_lets_it_through(service: Service, way: str) -> None:
    if way == "from_statement" and not service.captures_inserts:
        pytest.skip("no RETURNING for INSERT")
    service.commit(lambda s: s.add(Point(id=1, x=10)))

    def work(session: Session) -> None:
        with suppress_events(session):
            UNSEEN[way](session)

    service.commit(work)

    assert service.shorts == [("1", 1, "INSERT")]
    assert service.do(lambda s: [(p.id, p.x) for p in s.scalars(select(Point))]) != [(1, 10)]


def test_writes_inside_a_common_table_expression_are_refused(service: Service) -> None:
    """SQLite has none, but the guard looks first."""

    def work(session: Session) -> None:
        with pytest.raises(UncapturedChangeError):
            _in_a_common_table_expression(session)
        hidden = delete(POINTS).returning(POINTS.c.id).cte("hidden")
        with pytest.raises(UncapturedChangeError):
            session.execute(update(LectureCategory).values(remark="r").add_cte(hidden))
        session.rollback()

    service.do(work)


def test_engine_transactions_are_refused(service: Service) -> None:
    def work(connection: Connection) -> None:
        with pytest.raises(UncapturedChangeError):
            connection.execute(insert(POINTS).values(id=1, x=0))
        connection.execute(insert(Bystander).values(id=1, name="a"))
        assert connection.execute(select(POINTS)).all() == []

    service.connected(work)


DELETES: dict[str, Change] = {
    "bulk": lambda s: s.execute(delete(Album)),
    "text": lambda s: s.execute(text("DELETE FROM album WHERE id = 1")),
    "connection": lambda s: s.connection().execute(delete(Album).where(Album.id == 1)),
}


@pytest.mark.parametrize("way", DELETES)
def test_a_delete_that_the_database_passes_on_to_published_rows_is_refused(service: Service, way: str) -> None:
    service.commit(lambda s: s.add(Album(id=1, pages=[Page(id=2)])))

    def work(session: Session) -> None:
        with pytest.raises(UncapturedChangeError, match=r"rows of album, .*rows of Page.*ON DELETE CASCADE"):
            DELETES[way](session)
        session.rollback()
        session.execute(update(Album).values(id=1))
        session.execute(insert(Album).values(id=5))
        session.commit()
        session.delete(session.get_one(Album, 1))
        session.commit()

    service.do(work)

    assert service.shorts == [("2", 1, "INSERT"), ("2", 2, "DELETE")]


def test_a_hook_s_own_statement_in_the_middle_of_a_flush_is_refused(sync_service: Service) -> None:
    def change_another(_: Any, connection: Connection, bystander: Bystander) -> None:
        connection.execute(update(POINTS).values(x=bystander.id))

    event.listen(Bystander, "after_insert", change_another)
    event.listen(Lecture, "after_insert", change_another)

    def work(session: Session) -> None:
        session.add(Bystander(id=1, name="a"))
        with pytest.raises(UncapturedChangeError):
            session.flush()
        session.rollback()

    try:
        sync_service.do(work)
    finally:
        event.remove(Bystander, "after_insert", change_another)
        event.remove(Lecture, "after_insert", change_another)


def test_a_flush_that_never_began_opens_no_way(sync_service: Service) -> None:
    def stop(*_: Any) -> None:
        raise ZeroDivisionError

    def work(session: Session) -> None:
        session.connection()
        event.listen(session, "before_flush", stop)
        session.add(Bystander(id=1, name="a"))
        with pytest.raises(ZeroDivisionError):
            session.flush()
        event.remove(session, "before_flush", stop)
        with pytest.raises(UncapturedChangeError):
            session.bulk_save_objects([Point(id=9, x=0)])
        session.rollback()

    sync_service.do(work)


def test_an_unpublished_class_on_a_published_table_is_refused(sync_service: Service) -> None:
    class Shadow:
        id: int
        x: int

    shadows = registry()
    shadows.map_imperatively(Shadow, POINTS)

    def work(session: Session) -> None:
        shadow = Shadow()
        shadow.id, shadow.x = 1, 0
        session.add(shadow)
        with pytest.raises(UncapturedChangeError, match=r"Point.*is published"):
            session.flush()
        session.rollback()

    sync_service.do(work)
    shadows.dispose()


def test_a_class_that_is_mapped_later_and_adds_a_property_leaves_flushes_alone(sync_service: Service) -> None:
    """The mapper of the published class gets new caches then, and by caches the guard knows its flushes."""

    class OwnBase(DeclarativeBase):
        pass

    @publishes("out-pointChanged", PointChanged)
    class Early(OwnBase):
        __tablename__ = "early"
        id: Mapped[int] = mapped_column(primary_key=True)
        x: Mapped[int]

    sync_service.capture.detach()
    capture = sync_service.new_capture([Early])
    capture.attach()
    sync_service.connected(OwnBase.metadata.create_all)
    sync_service.commit(lambda s: s.add(Early(id=1, x=0)))

    class Late(OwnBase):
        __tablename__ = "late"
        id: Mapped[int] = mapped_column(ForeignKey("early.id"), primary_key=True)
        early: Mapped[Early] = relationship(backref="lates")

    sync_service.commit(lambda s: s.add(Early(id=2, x=0)))
    capture.detach()
    sync_service.connected(OwnBase.metadata.drop_all)

    assert sync_service.shorts == [("1", 1, "INSERT"), ("2", 1, "INSERT")]
