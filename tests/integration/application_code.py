"""Entities and listeners of the tests of StreamApplication."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, publishes, stream_listener

CONFIGURATION = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    out-a: {destination: a}
    in-a: {destination: a, group: g}
    out-b: {destination: b}
    in-b: {destination: b, group: g}
"""
AFTER_COMMIT = CONFIGURATION.replace("{destination: a}", "{destination: a, producer: {publish: after-commit}}")


class Base(DeclarativeBase):
    pass


class Added(EntityEvent):
    id: int


@publishes("out-a", Added)
class Thing(Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)


class Copy(Base):
    __tablename__ = "copy"

    id: Mapped[int] = mapped_column(primary_key=True)


@stream_listener("in-a")
def keep(event: Added, session: Session) -> None:
    session.merge(Copy(id=event.id))


@stream_listener("in-a")
async def keep_async(event: Added, session: AsyncSession) -> None:
    await session.merge(Copy(id=event.id))
