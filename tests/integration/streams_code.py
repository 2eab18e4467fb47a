"""A chain of listeners, for the tests of the fixture `streams`."""

from __future__ import annotations

from sqlalchemy.orm import Session

from streambind import send_to, stream_listener
from tests.integration.application_code import Added, Base, Copy, Thing

__all__ = ["BINDINGS", "Added", "Base", "Copy", "Thing", "keep", "pass_on", "refuse"]

BINDINGS = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    out-a: {destination: a, producer: {partitionCount: 3}}
    in-a: {destination: a, group: g, consumer: {maxAttempts: 1}}
    out-b: {destination: b}
    in-b: {destination: b, group: g}
"""


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
