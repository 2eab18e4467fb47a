"""Reading rows back on PostgreSQL: keys whose values need care."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ARRAY, CHAR, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind.event import EntityEvent
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


@pytest.fixture
def service(postgres_service: Service) -> Iterator[Service]:
    postgres_service.capture.detach()
    capture = postgres_service.new_capture([Badge, Path])
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
