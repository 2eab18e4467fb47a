"""A chain of listeners, for the tests of the fixture `streams`."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, publishes, send_to, stream_listener

BINDINGS = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    out-a: {destination: a, producer: {partitionCount: 3}}
    in-a: {destination: a, group: g, consumer: {maxAttempts: 1}}
    out-b: {destination: b}
    in-b: {destination: b, group: g}
"""


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
@send_to("out-b")
def pass_on(event: Added) -> Added:
    return event


@stream_listener("in-b")
def keep(event: Added, session: Session) -> None:
    session.merge(Copy(id=event.id))


@stream_listener("in-a")
def refuse(event: Added) -> None:
    raise ValueError(f"no {event.id}")
