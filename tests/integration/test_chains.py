"""Services that listen and publish: what they send is atomic with what they handle, and a circle ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import (
    EntityEvent,
    StreamApplication,
    publish,
    publishes,
    send_to,
    stream_listener,
    suppress_events,
)
from streambind.message import ROUTE, Message, RawHeaders
from streambind.testing import Streams
from streambind.testing.applications import Applications
from streambind.testing.eventually import eventually

Listener = Callable[..., object]

YAML = """
spring.cloud.stream:
  bindings:
    in-ping: {destination: ping, group: g, consumer: {on-error: skip}}
    in-pong: {destination: pong, group: g, consumer: {on-error: skip}}
    out-ping: {destination: ping}
    out-pong: {destination: pong}
streambind.events.max-rounds: 3
"""


class Base(DeclarativeBase):
    pass


class ThingChanged(EntityEvent):
    thing_id: int
    version: int


@publishes("out-ping", ThingChanged)
class Thing(Base):
    """Replicated from pong, published to ping: the classic circle."""

    __tablename__ = "thing"

    thing_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


@stream_listener("in-ping")
@send_to("out-pong")
def forward(payload: dict[str, object]) -> dict[str, object]:
    """Without a session: the bridge sends."""
    return payload


@stream_listener("in-ping")
@send_to("out-pong")
def forward_with_session(payload: dict[str, object], session: Session) -> dict[str, object]:
    return payload


@stream_listener("in-ping")
def forward_batches(payloads: list[dict[str, object]], session: Session) -> None:
    for payload in payloads:
        publish(session, "out-pong", payload, key="k")


@stream_listener("in-pong")
def replicate(event: ThingChanged, session: Session) -> None:
    thing = session.get_one(Thing, event.thing_id)
    thing.version = event.version + 1


@stream_listener("in-pong")
def replicate_silently(event: ThingChanged, session: Session) -> None:
    with suppress_events(session):
        session.get_one(Thing, event.thing_id).version = event.version + 1
        session.flush()


def _ends(streams: Streams) -> tuple[int, int]:
    return len(streams.records("out-ping")), len(streams.records("out-pong"))


def _insert(stream: StreamApplication) -> None:
    with stream.sessions.begin() as session:
        session.add(Thing(thing_id=1, version=1))


@pytest.mark.parametrize("forwards", [forward, forward_with_session, forward_batches])
def test_a_circle_is_broken_and_named(
    streams: Streams, stream_application: Applications, caplog: pytest.LogCaptureFixture, forwards: Listener
) -> None:
    stream = stream_application(YAML, include=[Thing, forwards, replicate], metadata=Base.metadata)
    with streams.run(stream):
        _insert(stream)
        eventually(lambda: "CircleError" in caplog.text, 20, "the circle goes on")
        streams.settle()
        assert _ends(streams) == (3, 3)
        routes = [dict(record.raw_headers).get(ROUTE) for record in streams.records("out-ping")]
        assert routes == [None, b"ping=1 pong=1", b"ping=2 pong=2"]
    [error] = [r for r in caplog.records if r.levelno == logging.ERROR and "CircleError" in r.getMessage()]
    assert (
        "binding out-ping: a message to ping was led to by 3 earlier ones (ping -> pong -> ping)"
        in error.getMessage()
    )
    with stream.sessions() as session:
        assert session.get_one(Thing, 1).version == 3


def test_a_chain_that_ends_by_itself_is_left_alone(streams: Streams, stream_application: Applications) -> None:
    stream = stream_application(
        YAML, include=[Thing, forward_with_session, replicate_silently], metadata=Base.metadata
    )
    with streams.run(stream):
        _insert(stream)
        streams.settle()
        assert _ends(streams) == (1, 1)
        with stream.sessions() as session:
            assert session.get_one(Thing, 1).version == 2


def test_each_message_of_a_batch_has_a_route_of_its_own(
    streams: Streams, stream_application: Applications
) -> None:
    """One that came round too often does not stop those that are handled in the same transaction."""
    stream = stream_application(YAML, include=[forward_with_session], metadata=Base.metadata)
    with streams.run(stream):
        routes: tuple[RawHeaders, ...] = ([], [(ROUTE, b"pong=3")], [(ROUTE, b"pong=1")])
        sent = [stream.bridge.send("out-ping", Message(b"{}", b"k", raw_headers=route)) for route in routes]
        for receipt in sent:
            receipt.result(timeout=10)
        streams.settle()
        answered = [dict(record.raw_headers).get(ROUTE) for record in streams.records("out-pong")]
        assert answered == [b"ping=1", b"pong=1 ping=1"]
