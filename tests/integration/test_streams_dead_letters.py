"""Dead letters of an application: where they go, on every kind of broker."""

from __future__ import annotations

from typing import Annotated

import pytest
from sqlalchemy.orm import Session

from streambind import (
    Header,
    Message,
    PermanentError,
    stream_listener,
)
from streambind.inbound.letter import Letter, read_letter
from streambind.testing.applications import Applications
from streambind.testing.streams import Streams
from tests.integration.streams_code import Added, Base, Copy, refuse


@pytest.fixture(params=["memory", "embedded", "kafka"])
def streambind_broker(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("kafka") if request.param == "kafka" else request.param)


def test_dead_letters_arrive_where_the_configuration_says(
    streams: Streams, stream_application: Applications
) -> None:
    seen: list[tuple[int, str]] = []

    @stream_listener("in-dead")
    def bury(event: Added, topic: Annotated[str, Header("x-original-topic")]) -> None:
        seen.append((event.id, topic))

    configuration = """
spring.cloud.stream:
  kafka.bindings.in-a.consumer.enableDlq: true
  bindings:
    out-a: {destination: a, producer: {partitionCount: 3}}
    in-a: {destination: a, group: g, consumer: {maxAttempts: 1}}
    in-dead: {destination: error.a.g, group: undertaker}
"""
    application = stream_application(configuration, include=[refuse, bury])
    with streams.run(application):
        for number in range(9):
            application.bridge.send("out-a", {"jobType": "INSERT", "id": number}, key=number)
        streams.settle()
    assert sorted(seen) == [(number, "a") for number in range(9)]


def test_dead_letters_of_several_destinations_go_to_one_each(
    streams: Streams, stream_application: Applications
) -> None:
    seen: list[tuple[str, str]] = []

    @stream_listener("in-dead")
    def bury(message: Message, topic: Annotated[str, Header("x-original-topic")]) -> None:
        seen.append((str(message.destination).rpartition("error.")[2], topic))

    configuration = """
spring.cloud.stream:
  kafka.bindings.in-both.consumer.enableDlq: true
  bindings:
    out-a: {destination: a}
    out-b: {destination: b}
    in-both: {destination: "a,b", group: g, consumer: {maxAttempts: 1}}
    in-dead: {destination: "error.a.g,error.b.g", group: undertaker}
"""

    @stream_listener("in-both")
    def refuse_both(event: Added) -> None:
        raise PermanentError("no")

    application = stream_application(configuration, include=[refuse_both, bury])
    with streams.run(application):
        for channel in ("out-a", "out-b"):
            application.bridge.send(channel, {"jobType": "INSERT", "id": 1}, key=1)
        streams.settle()
    assert sorted(seen) == [("a.g", "a"), ("b.g", "b")]


@pytest.mark.parametrize(
    ("form", "destination"),
    [("spring-cloud-stream", "error.a.g"), ("spring-kafka", "a-dlt"), ("spring-kafka-2", "a.DLT")],
)
def test_dead_letters_of_effects_in_a_database_leave_by_the_outbox(
    streams: Streams, stream_application: Applications, form: str, destination: str
) -> None:
    seen: dict[int, Letter] = {}

    @stream_listener("in-dead")
    def bury(event: Added, message: Message) -> None:
        seen[event.id] = read_letter(message)

    @stream_listener("in-a")
    def refuse_after_keeping(event: Added, session: Session) -> None:
        session.add(Copy(id=event.id))
        session.flush()
        if event.id % 2:
            raise PermanentError(f"no {event.id}")

    configuration = f"""
spring.cloud.stream:
  kafka.bindings.in-a.consumer: {{enableDlq: true, dlqFormat: {form}}}
  bindings:
    out-a: {{destination: a, producer: {{partitionCount: 3}}}}
    in-a: {{destination: a, group: g}}
    in-dead: {{destination: {destination}, group: undertaker}}
"""
    application = stream_application(configuration, include=[refuse_after_keeping, bury], metadata=Base.metadata)
    with streams.run(application):
        for number in range(9):
            application.bridge.send("out-a", {"jobType": "INSERT", "id": number}, key=number)
        streams.settle()
        with application.sessions() as session:
            assert session.query(Copy).count() == 5
    assert sorted(seen) == [1, 3, 5, 7]
    for number, letter in seen.items():
        assert (letter.group, letter.attempts, letter.cause.text) == ("g", 1, f"no {number}")
        assert letter.cause.name == "streambind.errors.PermanentError"
        assert letter.message.key == b"%d" % number
        assert str(letter.message.destination).endswith("a")
        assert letter.message.partition == letter.stands.partition
