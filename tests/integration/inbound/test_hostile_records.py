"""Whatever bytes stand on the topic: a record is handled, passed over or stops its partition by name; nothing is
raised into the binder, nothing hangs, and what came before it is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streambind.binding.outcome import Continue, Stop
from streambind.errors import DeliveryError
from streambind.headers import TYPES
from streambind.message import CONTENT_TYPE, EVENT_ID, ORIGIN, TYPE
from tests.integration.inbound.service import Service, drain, event
from tests.unit.inbound.batches import SOURCE, ListBatch, Record, numbered

DEEP = 100_000

_numbers = st.sampled_from(["0", "1", "2", "-1", "007", "1e3", "9" * 18, "9" * 19, "9" * 5000, "٣", ""])
_origins = st.builds(
    "/".join,
    st.tuples(
        st.sampled_from(["1", "2", ""]),
        st.sampled_from([SOURCE, "x" * 40, "\0", "🙂", ""]),
        _numbers,
        st.sampled_from(["things", "elsewhere", ""]),
        _numbers,
    ),
).map(lambda text: text.encode())
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())
_events = st.builds(
    lambda key, number: json.dumps({"key": key, "number": number}).encode(),
    st.text(max_size=10) | st.integers(),
    st.integers() | st.text(max_size=5),
)
_names = st.sampled_from([TYPES, CONTENT_TYPE, TYPE, EVENT_ID, ORIGIN, "traceparent", "x"]) | st.text(max_size=10)
_headers = st.lists(
    st.tuples(_names, st.none() | st.binary(max_size=40) | _json) | st.tuples(st.just(ORIGIN), _origins),
    max_size=6,
)
_records = st.builds(
    Record,
    st.none() | st.binary(max_size=60) | _json | _events,
    st.none() | st.binary(max_size=600),
    _headers,
    unreadable=st.sampled_from([False, False, False, True]),
)


@given(records=st.lists(_records, min_size=1, max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_is_handled_passed_over_or_stops_by_name(any_service: Service, records: list[Record]) -> None:
    any_service.forget_positions()
    plan = any_service.keeping(on_error="skip", max_attempts=1)

    outcomes = drain(plan, ListBatch(records))

    done = sum(outcome.done for outcome in outcomes)
    assert any_service.position() == done
    if done < len(records):
        last = outcomes[-1].then
        assert isinstance(last, Stop)
        assert isinstance(last.error, DeliveryError)
    else:
        assert isinstance(outcomes[-1].then, Continue)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"key":' * DEEP,
        b'{"key": "k", "number": ' + b"9" * DEEP + b"}",
        b'{"key": "k", "number": 1, "x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'"' + b"\\u0000" * DEEP,
        b"\xff\xfe" * DEEP,
    ],
    ids=["lists", "objects", "digits", "below a field that nobody reads", "zeros", "no text"],
)
def test_a_payload_made_to_hurt_is_passed_over_and_the_rest_handled(any_service: Service, payload: bytes) -> None:
    plan = any_service.keeping(on_error="skip")
    before, after = (numbered(event("k", n), "k", n) for n in (1, 2))

    drain(plan, ListBatch([before, Record(payload, b"k"), after]))

    assert any_service.position() == 3
    assert any_service.effects() == [("k", 1), ("k", 2)]


@pytest.mark.parametrize(
    "headers",
    [
        [(TYPES, b'{"x":' * DEEP)],
        [(TYPES, b'{"x": "java.util.ArrayList"}'), ("x", b"[" * DEEP)],
        [("x", b"y")] * DEEP,
        [(CONTENT_TYPE, b'{"type":' * DEEP)],
    ],
    ids=["deep map of types", "deep value", "many", "deep content type"],
)
def test_headers_made_to_hurt_hold_up_nobody(
    any_service: Service, headers: list[tuple[str, bytes | None]]
) -> None:
    plan = any_service.keeping(on_error="skip")
    payload = numbered(event("k", 1), "k", 1).payload

    drain(plan, ListBatch([Record(payload, b"k", headers), numbered(event("k", 1), "k", 1)]))

    assert any_service.position() == 2
    assert ("k", 1) in any_service.effects()
