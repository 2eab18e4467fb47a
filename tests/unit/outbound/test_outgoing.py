"""Messages as they leave the caller's hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from streambind.conversion import BYTES, JSON
from streambind.errors import EncodeError, PayloadTooLargeError
from streambind.event import EntityEvent, JobType
from streambind.outbound.outgoing import OutputPlan, outgoing

PLAN = OutputPlan("out-categoryChanged", "categoryChanged", JSON.encoder(UTC))


class LectureCategoryChanged(EntityEvent):
    category_id: int
    category_name: str


@dataclass
class Enrolled:
    lecture_id: int


class Note(BaseModel):
    text: str


@pytest.fixture
def span() -> Iterator[str]:
    trace: Any = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield f"00-{0xABC:032x}-{0xDEF:016x}-01"


def test_the_json_is_that_of_the_source_document_byte_for_byte() -> None:
    event = LectureCategoryChanged(
        timestamp=datetime(2022, 8, 8, 12, 12, 37, tzinfo=UTC),
        job_type=JobType.INSERT,
        category_id=2,
        category_name="최종테스트",
    )

    message = outgoing(PLAN, event, key=b"2")

    assert (
        message.payload
        == (
            '{"eventType":"LectureCategoryChanged","timestamp":"2022-08-08-12:12:37","jobType":"INSERT",'
            '"categoryId":2,"categoryName":"최종테스트"}'
        ).encode()
    )
    assert (message.binding, message.destination, message.key) == ("out-categoryChanged", "categoryChanged", b"2")


def test_headers_are_type_and_content_type_then_the_callers_then_the_type_map() -> None:
    message = outgoing(PLAN, Enrolled(7), key=None, headers={"tenant": "a", "tries": 3, "raw": b"\xff"})

    assert [name for name, _ in message.headers] == [
        "type",
        "contentType",
        "tenant",
        "tries",
        "raw",
        "spring_json_header_types",
    ]
    assert dict(message.headers)["type"] == b"Enrolled"
    assert dict(message.headers)["contentType"] == b"application/json"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(Note(text="a"), b"Note"), (Enrolled(1), b"Enrolled"), ({"a": 1}, None), ("text", None), (None, None)],
)
def test_the_type_header_names_what_has_a_name(payload: object, expected: bytes | None) -> None:
    assert dict(outgoing(PLAN, payload, key=b"k").headers).get("type") == expected


def test_a_caller_may_name_the_type() -> None:
    assert dict(outgoing(PLAN, {"a": 1}, key=None, headers={"type": "Own"}).headers)["type"] == b"Own"


@pytest.mark.parametrize("name", ["sb-origin", "sb-event-id", "contentType", "id", "timestamp"])
def test_streambinds_own_headers_are_not_the_callers(name: str) -> None:
    with pytest.raises(EncodeError, match=f"out-categoryChanged.*{name}"):
        outgoing(PLAN, {}, key=None, headers={name: "x"})


def test_none_is_a_tombstone() -> None:
    assert outgoing(PLAN, None, key=b"2").payload is None


def test_what_cannot_be_encoded_names_the_binding() -> None:
    with pytest.raises(EncodeError, match="binding out-categoryChanged: a object has no JSON form"):
        outgoing(PLAN, object(), key=None)
    with pytest.raises(EncodeError, match="binding out-categoryChanged: a header cannot carry a object"):
        outgoing(PLAN, {}, key=None, headers={"x": object()})


def test_a_payload_that_is_too_large_names_size_and_limit() -> None:
    plan = OutputPlan("out-x", "x", BYTES.encoder(UTC), max_payload_bytes=3)

    assert outgoing(plan, b"123", key=None).payload == b"123"
    with pytest.raises(
        PayloadTooLargeError, match=r"out-x: a bytes of 4 bytes exceeds the 3 bytes that x accepts"
    ):
        outgoing(plan, b"1234", key=None)


def test_an_active_span_travels_along(span: str) -> None:
    headers = dict(outgoing(PLAN, Enrolled(1), key=None).headers)

    assert headers["traceparent"] == span.encode()
    assert list(headers)[-1] == "spring_json_header_types"
    assert b"traceparent" not in (headers["spring_json_header_types"] or b"")


def test_the_callers_traceparent_counts_more(span: str) -> None:
    assert span not in str(outgoing(PLAN, {}, key=None, headers={"traceparent": "00-mine"}).headers)


def test_no_span_no_header() -> None:
    assert "traceparent" not in dict(outgoing(PLAN, Enrolled(1), key=None).headers)


def test_a_headers_name_that_cannot_travel_is_refused_in_the_callers_hands() -> None:
    with pytest.raises(EncodeError, match=r"binding \S+ '\\ud800' cannot be a header's name"):
        outgoing(PLAN, {}, key=None, headers={"\ud800": b"x"})
