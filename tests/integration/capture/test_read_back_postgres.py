"""Reading rows back on PostgreSQL: keys whose values need care, rows that policies hide, functions, references."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ARRAY, CHAR, Connection, ForeignKey, Integer, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from streambind.event import EntityEvent, JobType
from streambind.outbound.publishes import publishes
from tests.integration.capture.conftest import Service


class Base(DeclarativeBase):
    pass


class Changed(EntityEvent):
    owner: str
    state: str


def _key(entity: Any) -> str:
    return str(entity.id).strip()


@publishes("out-pointChanged", Changed, key=_key)
class Badge(Base):
    """Its key is shorter than its column, which fills it with spaces."""

    __tablename__ = "badge"
    id: Mapped[str] = mapped_column(CHAR(5), primary_key=True)
    owner: Mapped[str]
    state: Mapped[str]


@publishes("out-pointChanged", Changed, key=_key)
class Path(Base):
    __tablename__ = "path"
    id: Mapped[Any] = mapped_column(ARRAY(Integer, as_tuple=True), primary_key=True)
    owner: Mapped[str]
    state: Mapped[str]


def _of_badge(desk: Any, job: JobType) -> Changed:
    return Changed(owner=desk.badge.owner, state="", job_type=job)


@publishes("out-pointChanged", Changed, build=_of_badge)
class Desk(Base):
    __tablename__ = "desk"
    id: Mapped[int] = mapped_column(primary_key=True)
    badge_id: Mapped[str] = mapped_column(ForeignKey("badge.id"))
    remark: Mapped[str | None]
    badge: Mapped[Badge] = relationship()


@pytest.fixture
def service(postgres_service: Service) -> Iterator[Service]:
    postgres_service.capture.detach()
    capture = postgres_service.new_capture([Badge, Path, Desk])
    postgres_service.connected(Base.metadata.create_all)
    capture.attach()
    yield postgres_service
    capture.detach()
    postgres_service.connected(Base.metadata.drop_all)


@pytest.mark.parametrize(("cls", "key"), [(Badge, "ab"), (Path, (1, 2))])
def test_rows_are_found_by_keys_of_any_type(service: Service, cls: Any, key: Any) -> None:
    service.commit(lambda s: s.add(cls(id=key, owner="x", state="free")))

    def work(session: Session) -> None:
        session.expire_on_commit = False
        entity = session.query(cls).one()
        session.commit()
        service.commit(lambda s: setattr(s.query(cls).one(), "state", "sold"))
        entity.owner = "y"
        session.commit()
        assert service.events[-1].json["state"] == "sold"
        session.delete(entity)
        session.commit()

    service.do(work)

    assert [short[2] for short in service.shorts] == ["INSERT", "UPDATE", "UPDATE", "DELETE"]


_SHOWN = """
CREATE ROLE {role};
GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
ALTER TABLE badge ENABLE ROW LEVEL SECURITY;
CREATE POLICY shown ON badge FOR SELECT USING (true);
CREATE POLICY deleted ON badge FOR DELETE USING (true);
CREATE POLICY updated ON badge FOR UPDATE USING (owner = 'me');
"""


def test_a_row_that_may_be_deleted_but_not_locked_is_told_all_the_same(service: Service) -> None:
    service.commit(lambda s: s.add(Badge(id="ab", owner="x", state="free")))
    role = f"deleter_{uuid.uuid4().hex[:8]}"

    def protect(connection: Connection) -> None:
        for statement in _SHOWN.format(role=role).strip().splitlines():
            connection.exec_driver_sql(statement)

    def end(connection: Connection) -> None:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")

    def work(session: Session) -> None:
        session.connection().exec_driver_sql(f"SET LOCAL ROLE {role}")
        session.delete(session.query(Badge).one())

    service.connected(protect)
    try:
        service.commit(work)
    finally:
        service.connected(end)

    assert service.shorts[-1] == ("ab", 2, "DELETE")


_SELL = """
CREATE OR REPLACE FUNCTION sell() RETURNS void LANGUAGE sql AS $$ UPDATE badge SET state = 'sold' $$
"""


def test_what_a_function_of_the_database_has_done_meanwhile_is_read(service: Service) -> None:
    service.connected(lambda c: c.exec_driver_sql(_SELL))

    def work(session: Session) -> None:
        badge = Badge(id="ab", owner="x", state="free")
        session.add(badge)
        session.flush()
        session.execute(text("SELECT sell()"))
        badge.owner = "y"

    service.commit(work)

    told = service.events[-1].json
    assert (told["owner"], told["state"]) == ("y", "sold")


def test_what_a_row_refers_to_is_what_others_have_let_it_refer_to(service: Service) -> None:
    one, two = (Badge(id=each, owner=each, state="") for each in ("one", "two"))
    service.commit(lambda s: s.add_all([two, Desk(id=1, badge=one)]))

    def work(session: Session) -> None:
        session.expire_on_commit = False
        desk = session.get_one(Desk, 1)
        badge = desk.badge
        session.commit()
        service.commit(lambda s: setattr(s.get_one(Desk, 1), "badge_id", "two"))
        desk.remark = "x"
        session.commit()
        assert desk.badge is badge
        assert not session.dirty

    service.do(work)

    assert service.events[-1].json["owner"] == "two"
