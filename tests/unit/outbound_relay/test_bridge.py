"""What the application sends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from uuid import UUID

import pytest

from streambind.conversion import converter_for
from streambind.errors import ConfigurationError, EncodeError, LifecycleError, PayloadTooLargeError
from streambind.event import EntityEvent, JobType
from streambind.headers import TYPES
from streambind.message import EVENT_ID, ORIGIN, Message
from streambind.outbound.bridge import StreamBridge
from streambind.outbound.outgoing import OutputPlan
from streambind.outbound.sender import QueuedSender
from tests.unit.outbound_relay.producer import ScriptedProducer


class LectureEnrolled(EntityEvent):
    lecture_id: int


@dataclass
class Output:
    bridge: StreamBridge
    producer: ScriptedProducer

    def last(self) -> Message:
        return self.producer.sent[-1]


@pytest.fixture
def output() -> Iterator[Output]:
    """A bridge with the outputs out-lectureEnrolled (JSON, at most 200 bytes) and out-notes (text)."""
    plans = {
        name: OutputPlan(
            binding=name,
            destination=name.removeprefix("out-"),
            encoder=converter_for(content_type).encoder(UTC),
            content_type=content_type,
            max_payload_bytes=200,
        )
        for name, content_type in [("out-lectureEnrolled", "application/json"), ("out-notes", "text/plain")]
    }
    producer = ScriptedProducer()
    sender = QueuedSender(producer, "out-lectureEnrolled", destination="x", capacity=10, timeout_ms=10_000)
    yield Output(StreamBridge(plans, lambda _: sender), producer)
    sender.stop(1000)


def test_an_event_is_encoded_and_sent_with_key_and_headers(output: Output) -> None:
    event = LectureEnrolled(job_type=JobType.INSERT, lecture_id=7)

    confirmed = output.bridge.send("out-lectureEnrolled", event, key="7", headers={"tenant": "a"}).result(10)

    message = output.last()
    assert confirmed.offset == 0
    assert message.key == b"7"
    assert (message.payload or b"").startswith(b'{"eventType":"LectureEnrolled"')
    assert message.headers["type"] == "LectureEnrolled"
    assert message.headers["contentType"] == "application/json"
    assert message.headers["tenant"] == "a"
    assert UUID(str(message.headers[EVENT_ID]))
    assert ORIGIN not in message.headers
    assert message.raw_headers[-1][0] == TYPES
    assert message.destination == "lectureEnrolled"


def test_the_bindings_content_type_decides(output: Output) -> None:
    output.bridge.send("out-notes", "강의").result(10)

    assert output.last().payload == "강의".encode()
    assert output.last().key is None
    with pytest.raises(EncodeError, match=r"binding out-notes: text/plain carries str"):
        output.bridge.send("out-notes", {"a": 1})


def test_none_is_a_tombstone(output: Output) -> None:
    output.bridge.send("out-lectureEnrolled", None, key=7).result(10)

    assert (output.last().payload, output.last().key) == (None, b"7")


def test_a_message_is_sent_as_it_is(output: Output) -> None:
    message = Message(b"raw", b"k", raw_headers=[("a", b"1")])

    output.bridge.send("out-lectureEnrolled", message).result(10)

    assert output.last() is message
    with pytest.raises(EncodeError, match="put key and headers into the Message itself"):
        output.bridge.send("out-lectureEnrolled", message, key="7")
    with pytest.raises(PayloadTooLargeError, match=r"binding out-lectureEnrolled.*201 bytes.*200"):
        output.bridge.send("out-lectureEnrolled", Message(b"x" * 201))


def test_what_cannot_be_sent_fails_in_the_callers_hands(output: Output) -> None:
    send = output.bridge.send

    with pytest.raises(PayloadTooLargeError, match="out-lectureEnrolled"):
        send("out-lectureEnrolled", "x" * 201)
    with pytest.raises(EncodeError, match="out-lectureEnrolled"):
        send("out-lectureEnrolled", object())
    with pytest.raises(EncodeError, match=r"binding out-lectureEnrolled: a key of 513 bytes"):
        send("out-lectureEnrolled", {}, key="k" * 513)
    with pytest.raises(EncodeError, match="'sb-event-id' is written by streambind"):
        send("out-lectureEnrolled", {}, headers={"sb-event-id": "x"})

    assert output.producer.sent == []


def test_an_unknown_binding_names_the_near_one_and_all(output: Output) -> None:
    with pytest.raises(ConfigurationError) as raised:
        output.bridge.send("out-lectureEnroled", {})

    assert "did you mean 'out-lectureEnrolled'" in str(raised.value)
    assert "out-notes" in str(raised.value)
    with pytest.raises(ConfigurationError, match=r"Output bindings of this application: none"):
        StreamBridge({}, _stopped).send("out-x", {})


def test_while_the_application_does_not_run_the_caller_is_told(output: Output) -> None:
    plan = OutputPlan("out-x", "x", converter_for("application/json").encoder(UTC))

    with pytest.raises(LifecycleError, match="not running"):
        StreamBridge({"out-x": plan}, _stopped).send("out-x", {})


def _stopped(binding: str) -> QueuedSender:
    raise LifecycleError(f"binding {binding}: the application is not running")


def test_a_message_with_a_header_that_cannot_travel_is_refused(output: Output) -> None:
    message = Message(b"{}", raw_headers=[("a", b"x"), ("\ud800", b"x")])

    with pytest.raises(EncodeError, match="cannot be a header's name"):
        output.bridge.send("out-lectureEnrolled", message)
