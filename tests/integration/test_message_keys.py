"""`messageKeyExpression`: keys that a file chooses for what code gives none."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, publish, publishes, send_to, stream_listener
from streambind.errors import ConfigurationError, EncodeError, UncapturedChangeError
from streambind.testing import Streams
from streambind.testing.applications import Applications

YAML = """
spring.cloud.stream:
  kafka.bindings.out-thing.producer.messageKeyExpression: EXPRESSION
  bindings:
    in-asked: {destination: asked, group: g}
    out-asked: {destination: asked}
    out-thing: {destination: thing}
"""


class ThingChanged(EntityEvent):
    thing_id: int
    owner: str


class Base(DeclarativeBase):
    pass


@publishes("out-thing", ThingChanged)
class Thing(Base):
    __tablename__ = "thing"

    thing_id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]


@stream_listener("in-asked")
@send_to("out-thing")
def answer(payload: dict[str, str], session: Session) -> dict[str, str]:
    return payload


class Service:
    def __init__(self, streams: Streams, make: Applications, expression: str) -> None:
        self.streams = streams
        text = YAML.replace("EXPRESSION", expression)
        self.stream = make(text, include=[Thing, answer], metadata=Base.metadata)

    def keys(self) -> list[bytes | None]:
        self.streams.settle()
        return [record.key for record in self.streams.records("out-thing")]


def test_messages_without_a_key_get_that_of_the_expression(
    streams: Streams, stream_application: Applications
) -> None:
    service = Service(streams, stream_application, "payload.owner")
    with streams.run(service.stream):
        with service.stream.sessions.begin() as session:
            publish(session, "out-thing", {"owner": "a"})
            publish(session, "out-thing", {"owner": "a"}, key="own")
            publish(session, "out-thing", {"nobody": "a"})
        service.streams.settle()
        service.stream.bridge.send("out-thing", {"owner": "b"}).result(timeout=10)
        assert service.keys() == [b"a", b"own", None, b"b"]


def test_headers_can_make_the_key(streams: Streams, stream_application: Applications) -> None:
    service = Service(streams, stream_application, "headers['tenant']")
    with streams.run(service.stream), service.stream.sessions.begin() as session:
        publish(session, "out-thing", "{}", headers={"tenant": "t1"})
    with streams.run(service.stream):
        assert service.keys() == [b"t1"]


def test_an_answer_has_the_expressions_key_rather_than_that_of_the_question(
    streams: Streams, stream_application: Applications
) -> None:
    service = Service(streams, stream_application, "payload.owner")
    with streams.run(service.stream):
        service.stream.bridge.send("out-asked", {"owner": "c"}, key="question").result(timeout=10)
        assert service.keys() == [b"c"]


def test_entities_are_keyed_by_the_expression_and_move_when_it_changes(
    streams: Streams, stream_application: Applications
) -> None:
    service = Service(streams, stream_application, "payload.owner")
    with streams.run(service.stream):
        with service.stream.sessions.begin() as session:
            session.add(Thing(thing_id=1, owner="a"))
        with service.stream.sessions.begin() as session:
            session.get_one(Thing, 1).owner = "b"
        assert service.keys() == [b"a", b"a", b"b"]
        jobs = [event.job_type for event in streams.published("out-thing", ThingChanged)]
        assert jobs == ["INSERT", "DELETE", "INSERT"]


def test_a_bulk_statement_whose_old_keys_cannot_be_known_is_refused(
    streams: Streams, stream_application: Applications
) -> None:
    service = Service(streams, stream_application, "payload.owner")
    with streams.run(service.stream), service.stream.sessions.begin() as session:
        session.add(Thing(thing_id=1, owner="a"))
    with (
        service.stream.sessions() as session,
        pytest.raises(UncapturedChangeError, match="the old keys cannot be known"),
    ):
        session.execute(update(Thing).values(owner="x"))


def test_a_payload_that_is_not_json_has_no_such_key(streams: Streams, stream_application: Applications) -> None:
    service = Service(streams, stream_application, "payload.owner")
    with service.stream.sessions() as session, pytest.raises(EncodeError, match="messageKeyExpression"):
        publish(session, "out-thing", "not json")


def test_what_is_no_expression_is_found_where_it_stands(
    streams: Streams, stream_application: Applications
) -> None:
    with pytest.raises(ConfigurationError, match=r"application-1.yaml:3:37 .*column 14.*methods are not called"):
        Service(streams, stream_application, "payload.owner()")
