"""Payloads: what bytes become, tombstones, content types, and what fails to decode."""

from __future__ import annotations

from typing import Any

import pytest

from streambind.binding.outcome import Continue, Outcome
from streambind.headers import encode_headers
from streambind.message import Message
from tests.unit.inbound.batches import ListBatch, Record, batch_of
from tests.unit.inbound.planning import mistakes, plan
from tests.unit.inbound.takers import (
    DOCUMENT,
    CategoryChanged,
    Point,
    error_of,
    seen,
    takes_bytes,
    takes_dict,
    takes_event,
    takes_point,
    takes_text,
)


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


def takes_message(message: Message) -> None:
    seen.append(message)


def takes_nothing() -> None:
    seen.append("called")


# Tombstones


def takes_or_null(event: CategoryChanged | None) -> None:
    seen.append(event)


def takes_text_or_null(event: str | None) -> None:
    seen.append(event)


def takes_only_null(event: None) -> None:
    seen.append(event)


def takes_anything(event: Any) -> None:
    seen.append(event)


@pytest.mark.parametrize(
    "listener", [takes_or_null, takes_text_or_null, takes_only_null, takes_anything, takes_nothing, takes_message]
)
def test_a_tombstone_reaches_whoever_takes_null(listener: Any) -> None:
    assert plan(listener).deliver(batch_of(None)).done == 1
    assert [x for x in seen if x not in ("called", None) and x.payload is not None] == []
    assert len(seen) == 1


@pytest.mark.parametrize("listener", [takes_event, takes_text, takes_bytes, takes_dict])
def test_a_tombstone_that_nobody_takes_fails_for_good(listener: Any) -> None:
    text = error_of(plan(listener).deliver(batch_of(None)))

    assert "the payload is null (a tombstone); annotate" in text
    assert "| None to take it" in text


def test_a_tombstone_passes_over_those_that_do_not_take_null_if_another_does() -> None:
    assert plan(takes_event, takes_message, takes_or_null).deliver(batch_of(None)).done == 1
    assert [type(x) for x in seen] == [Message, type(None)]


def test_a_tombstone_for_none_of_several_listeners_fails_for_good() -> None:
    text = error_of(plan(takes_event, takes_dict).deliver(batch_of(None)))

    assert "which listener takes_event, listener takes_dict do not take: annotate X | None" in text


def test_the_json_text_null_is_null_too() -> None:
    assert plan(takes_or_null).deliver(batch_of(b"null")).done == 1
    assert seen == [None]


# Content types


def test_another_content_type_of_the_message_is_looked_at_when_the_bindings_fails() -> None:
    headers = encode_headers({"contentType": "application/json"})
    batch = ListBatch([Record(b'{"x":1,"y":2}', headers=headers)])

    assert plan(takes_point, content_type="application/octet-stream").deliver(batch).done == 1
    assert seen == [Point(1, 2)]


def test_whoever_takes_anything_gets_what_the_message_says_it_is() -> None:
    text = Record(b"12", headers=encode_headers({"contentType": "text/plain"}))
    quoted = Record(b"12", headers=[("contentType", b'"application/json"')])
    data = Record(b"12", headers=encode_headers({"contentType": "application/octet-stream"}))

    assert plan(takes_anything).deliver(ListBatch([text, quoted, data, Record(b"12")])).done == 4
    assert seen == ["12", 12, b"12", 12]


def test_an_unknown_content_type_is_named() -> None:
    record_of = Record(b"x", headers=encode_headers({"contentType": "application/avro"}))

    assert "application/avro" in error_of(plan(takes_anything).deliver(ListBatch([record_of])))


def test_what_does_not_decode_is_told_by_field_without_values() -> None:
    text = error_of(plan(takes_event).deliver(batch_of({**DOCUMENT, "categoryId": "secret"})))

    assert "the payload cannot be read as CategoryChanged: categoryId" in text
    assert "secret" not in text


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b"12"])
def test_poison_fails_its_message_and_nothing_else(payload: bytes) -> None:
    outcome = plan(takes_event, on_error="skip").deliver(batch_of(DOCUMENT, payload, DOCUMENT))

    assert outcome == Outcome(2, Continue())
    assert len(seen) == 1


def test_listeners_of_one_type_get_the_same_object() -> None:
    assert plan(takes_event, takes_event, takes_dict).deliver(batch_of(DOCUMENT)).done == 1
    assert seen[0] is seen[1]
    assert isinstance(seen[2], dict)


def takes_module(event: type(pytest)) -> None:  # type: ignore[valid-type]
    ...


def test_a_type_that_cannot_be_decoded_is_a_mistake_of_the_listener() -> None:
    text = mistakes(takes_module)

    assert (
        "listener takes_module: argument 'event': a payload cannot be read as module; take an event class" in text
    )
    assert "arbitrary_types_allowed" not in text


def takes_number(event: int) -> None: ...


def test_a_document_that_does_not_fit_is_told_in_words() -> None:
    text = error_of(plan(takes_number).deliver(batch_of({"a": 1})))

    assert "the payload cannot be read as int: Input should be a valid integer" in text


def test_a_content_type_without_converter_is_a_mistake_of_the_binding() -> None:
    assert "no converter for contentType 'application/avro'" in mistakes(
        takes_event, content_type="application/avro"
    )
