"""Headers as Spring writes and reads them, against records that real Spring applications wrote."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.headers import TYPES, decode_headers, encode_headers, header_text

DATA = Path(__file__).parents[1] / "data" / "spring"
Raw = list[tuple[str, bytes | None]]

SAMPLE_UUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
EITHER_GENERATION = {
    "h-mimetype": "text/plain;charset=utf-8",
    "h-mediatype": "application/json",
    "h-uri": "urn:x",
    "h-string": 'plain "quoted" 최종',
    "h-empty": "",
    "h-integer": 5,
    "h-long": 5_000_000_000,
    "h-double": 1.5,
    "h-boolean": True,
    "h-uuid": SAMPLE_UUID,
    "h-list": ["a", "b"],
    "h-singleton": ["a"],
    "h-map": {"a": 1, "b": "x"},
    "h-bytes": b"\x00\x01\xff",
    "correlationId": SAMPLE_UUID,
    "sequenceNumber": 1,
    "sequenceSize": 2,
    "replyChannel": "replies",
    "errorChannel": "errors",
    "message-type": "x",
    "contentType": "application/json",
    "traceparent": "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01",
}


def records(name: str) -> list[Raw]:
    """The headers of every record of a file."""
    found = json.loads((DATA / f"{name}.json").read_text())
    return [
        [(h["name"], None if h["hex"] is None else bytes.fromhex(h["hex"])) for h in record["headers"]]
        for record in found
    ]


@pytest.mark.parametrize("generation", ["legacy", "modern"])
def test_what_either_generation_writes_is_read_alike(generation: str) -> None:
    headers = decode_headers(records(f"{generation}-probe")[0])
    assert {name: headers[name] for name in EITHER_GENERATION} == EITHER_GENERATION


def test_a_type_that_is_not_trusted_stays_bytes() -> None:
    assert decode_headers(records("legacy-probe")[0])["h-offsetdatetime"] == b"1659928357.000000000"


def test_a_header_without_a_type_stays_bytes() -> None:
    assert decode_headers(records("modern-probe")[0])["X-B3-TraceId"] == b"80f198ee56343ba8"


@pytest.mark.parametrize(
    "file", ["legacy-verbatim", "legacy-object", "legacy-string", "modern-message", "modern-bare", "modern-probe"]
)
def test_the_content_type_is_the_same_text_in_every_record(file: str) -> None:
    for raw in records(file):
        assert decode_headers(raw)["contentType"] == "application/json"
        assert header_text(raw, "contentType") == "application/json"


@pytest.mark.parametrize("file", ["legacy-verbatim", "legacy-object", "modern-message"])
def test_the_type_of_the_event_can_be_told(file: str) -> None:
    for raw in records(file):
        assert decode_headers(raw)["type"] == "LectureCategoryChanged"


def test_what_is_written_is_what_spring_writes_byte_by_byte() -> None:
    written = encode_headers({"type": "LectureCategoryChanged", "contentType": "application/json"})
    assert written == records("modern-message")[0]


def test_ours_and_trace_headers_stand_in_no_type_map() -> None:
    trace = "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01"
    assert encode_headers({"sb-event-id": "x", "traceparent": trace}) == [
        ("sb-event-id", b"x"),
        ("traceparent", trace.encode()),
    ]


def test_content_type_and_type_are_text_without_a_type_map() -> None:
    raw: Raw = [("contentType", b"application/json"), ("type", b"A"), ("sb-origin", b"1/x"), ("other", b"y")]
    assert decode_headers(raw) == {
        "contentType": "application/json",
        "type": "A",
        "sb-origin": "1/x",
        "other": b"y",
    }


def test_a_content_type_taken_apart_is_put_together() -> None:
    value = b'{"type":"application","subtype":"json","parameters":{"charset":"UTF-8"}}'
    raw: Raw = [("contentType", value), (TYPES, b'{"contentType":"org.springframework.util.MimeType"}')]
    assert decode_headers(raw)["contentType"] == header_text(raw, "contentType") == "application/json"


def test_the_last_of_a_repeated_name_counts() -> None:
    raw: Raw = [("type", b"old"), ("type", b"new"), (TYPES, b"{}"), (TYPES, b'{"type":"java.lang.String"}')]
    assert decode_headers(raw) == {"type": "new"}
    assert header_text(raw, "type") == "new"
    assert header_text([("n", b"old"), ("n", b"new"), ("n", None)], "n") == "new"


def test_the_type_map_may_come_first() -> None:
    assert decode_headers([(TYPES, b'{"n":"java.lang.Integer"}'), ("n", b"7")]) == {"n": 7}


@pytest.mark.parametrize("broken", [b"no json", b"[]", b"\xff", b'{"n":5}', b"[" * 100_000])
def test_a_type_map_that_is_none_leaves_bytes(broken: bytes) -> None:
    assert decode_headers([("n", b"7"), (TYPES, broken)]) == {"n": b"7"}


@pytest.mark.parametrize("value", [b"abc", b"\xff", b"[" * 100_000])
def test_a_typed_value_that_does_not_parse_stays_bytes(value: bytes) -> None:
    assert decode_headers([("n", value), (TYPES, b'{"n":"java.lang.Integer"}')]) == {"n": value}


def test_a_header_without_a_value_is_none() -> None:
    assert decode_headers([("n", None), (TYPES, b'{"n":"java.lang.String"}')]) == {"n": None}
    assert header_text([("n", None)], "n") is None


def test_a_lone_quotation_mark_is_kept() -> None:
    assert decode_headers([("s", b'"x'), (TYPES, b'{"s":"java.lang.String"}')]) == {"s": '"x'}


def test_the_mapping_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        decode_headers([])["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize("value", [None, object(), float("nan"), {1, 2}])
def test_a_value_without_a_form_on_the_wire_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot carry"):
        encode_headers({"x": value})


@pytest.mark.parametrize("name", ["", "a\ud800", "sb-\udcff", "a\0b", 7])
@pytest.mark.parametrize("value", [b"bytes", "text", 1])
def test_a_name_that_cannot_travel_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="cannot be a header's name: it"):
        encode_headers({"fine": "x", name: value})


VALUES = st.one_of(
    st.text(),
    st.binary(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.integers()),
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda name: name not in (TYPES, "contentType") and not name.startswith("sb-")
)


@given(st.dictionaries(NAMES, VALUES))
def test_what_is_written_is_read_again(headers: dict[str, object]) -> None:
    untyped = {"type", "traceparent", "tracestate"}  # text, whatever they are written as
    kept = {name: value for name, value in headers.items() if name not in untyped}
    assert decode_headers(encode_headers(kept)) == kept


@given(st.lists(st.tuples(st.sampled_from(["a", "type", "contentType", TYPES]), st.none() | st.binary())))
def test_reading_never_raises(raw: Raw) -> None:
    decode_headers(raw)
    header_text(raw, "contentType")
