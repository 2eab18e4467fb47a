"""Whatever bytes stand on the topic: a record is handled, passed over or stops its partition by name; nothing is
raised into the binder, nothing hangs, and what came before it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Stop
from streambind.errors import DeliveryError
from streambind.headers import TYPES
from streambind.inbound.inbox import Inbox
from streambind.message import CONTENT_TYPE, EVENT_ID, ORIGIN, TYPE, Batch
from tests.integration.inbound.parking import parked_keys, parking, turns
from tests.integration.inbound.service import Event, Service, drain, event
from tests.unit.inbound.batches import SOURCE, ListBatch, Record, numbered, record

DEEP = 100_000
IDS = ["headers['id']", "headers['x']", "payload.key", "payload.number"]
"""Where `consumer.dedupe` looks."""

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
_typed = st.tuples(
    st.just((TYPES, b'{"id": "java.lang.String"}')),
    st.tuples(st.just("id"), st.sampled_from([b'"\\ud800"', b"9" * 5000, b"[1]", b'"\\u0000"', b'"x', b"true"])),
).map(list)
_headers = (
    st.lists(
        st.tuples(_names, st.none() | st.binary(max_size=40) | _json) | st.tuples(st.just(ORIGIN), _origins),
        max_size=6,
    )
    | _typed
)
_records = st.builds(
    Record,
    st.none() | st.binary(max_size=60) | _json | _events,
    st.none() | st.binary(max_size=600),
    _headers,
    unreadable=st.sampled_from([False, False, False, True]),
)


@given(records=st.lists(_records, min_size=1, max_size=8), dedupe=st.sampled_from([None, *IDS]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_is_handled_passed_over_or_stops_by_name(
    any_service: Service, records: list[Record], dedupe: str | None
) -> None:
    any_service.forget_positions()
    plan = any_service.keeping(on_error="skip", max_attempts=1, dedupe=dedupe)

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


@given(records=st.lists(_records, min_size=1, max_size=8), dedupe=st.sampled_from([None, *IDS]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parked_record_ends_somehow_and_holds_up_no_other_key(
    any_service: Service, records: list[Record], dedupe: str | None
) -> None:
    any_service.forget_positions()
    any_service.database.run(lambda c: c.execute(delete(any_service.database.tables.parked)))
    any_service.database.run(lambda c: c.execute(delete(any_service.database.tables.parked_key)))
    refused = [*records, record(event("good", 1), "good")]
    settings = {"gap_timeout_ms": 0, "max_attempts": 2, "mass_failure_keys": 1000}
    broken = parking(any_service, refuse, on_error="park", sequence="ignore", parking=settings)
    outcomes = drain(broken, ListBatch(refused))
    if sum(outcome.done for outcome in outcomes) < len(refused):
        assert isinstance(outcomes[-1].then, Stop)
        return

    turns(parking(any_service, dedupe=dedupe, adopt=None, parking=settings))

    assert {state for state, _, _ in parked_keys(any_service).values()} <= {"dead"}
    assert ("good", 1) in any_service.effects()


def refuse(event: Event, session: Session) -> None:
    raise RuntimeError("not yet")


def test_an_id_that_holds_half_a_character_is_an_id(any_service: Service) -> None:
    plan = any_service.keeping(dedupe=IDS[0], on_error="stop")
    ids = [(TYPES, b'{"id": "java.lang.String"}'), ("id", b'"\\ud800"')]
    first, second = (Record(record(event("k", n), "k").payload, b"k", ids) for n in (1, 2))

    drain(plan, ListBatch([first, second]))

    assert any_service.position() == 2
    assert any_service.effects() == [("k", 1)]


def test_a_defect_that_a_message_brings_to_light_is_that_messages_failure(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of streambind's own: the others go on, and the log tells where it is."""
    original = Inbox.first_times

    def first_times(self: Inbox, connection: Connection, batch: Batch, indexes: Sequence[int]) -> Sequence[int]:
        if any(batch.key(index) == b"k" for index in indexes):
            raise KeyError("a defect")
        return original(self, connection, batch, indexes)

    monkeypatch.setattr(Inbox, "first_times", first_times)
    plan = any_service.keeping(dedupe=IDS[0], on_error="skip", max_attempts=1)

    drain(plan, ListBatch([record(event(key, 1), key) for key in ("a", "k", "b")]))

    assert any_service.effects() == [("a", 1), ("b", 1)]
    assert "in first_times" in caplog.text
