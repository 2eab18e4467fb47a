"""What is too large is refused before it is decoded, whoever asks for it, and what is around it is handled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from streambind.binding.outcome import Stop
from streambind.errors import DecodeError
from streambind.inbound.arrival import Arrival
from streambind.inbound.limits import Limits
from streambind.inbound.listener import Header, stream_listener
from streambind.message import Message
from tests.unit.inbound.batches import ListBatch, Record, batch_of, record
from tests.unit.inbound.planning import Seen, plan

seen = Seen()
LARGE = b'{"n": 2' + b" " * 100 + b"}"


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


def takes(event: dict[str, Any]) -> None:
    seen.append(event["n"])


async def takes_async(event: dict[str, Any]) -> None:
    seen.append(event["n"])


def takes_many(events: list[dict[str, Any]]) -> None:
    seen.extend(event["n"] for event in events)


def takes_anything(event: Any) -> None:
    seen.append(event["n"])


@stream_listener("in-things", condition="payload.n != 7")
def reads_with_condition(message: Message) -> None:
    seen.append(int((message.payload or b"")[6:7]))


def reads_headers(message: Message) -> None:
    seen.append(message.headers["x"])


def takes_header(event: dict[str, Any], x: Annotated[bytes, Header("x")]) -> None:
    seen.append(x)


def with_condition_on_headers(event: dict[str, Any]) -> None:
    seen.append(b"1")


conditional = stream_listener("in-things", condition="headers['x'] == 'never'")(with_condition_on_headers)


@pytest.mark.parametrize(
    "listener", [takes, takes_async, takes_many, takes_anything, reads_with_condition], ids=lambda f: f.__name__
)
def test_a_payload_that_is_too_large_fails_and_those_around_it_are_handled(listener: Callable[..., Any]) -> None:
    inputs = plan(listener, on_error="skip", max_payload_bytes=len(LARGE) - 1)
    batch: ListBatch | None = batch_of(b'{"n": 1}', LARGE, b'{"n": 3}')

    while batch is not None:
        batch = batch.after(inputs.deliver(batch).done)

    assert list(dict.fromkeys(seen)) == [1, 3]
    assert inputs.statistics.figures().skipped == 1


def test_the_error_names_the_property_to_raise() -> None:
    outcome = plan(takes, max_payload_bytes=100).deliver(batch_of(LARGE))

    assert isinstance(outcome.then, Stop)
    text = f"the payload has {len(LARGE)} bytes: more than consumer.max-payload-bytes (100) are not decoded"
    assert text in str(outcome.then.error)


@pytest.mark.parametrize("listener", [takes, takes_many, takes_anything, reads_with_condition])
def test_a_payload_at_the_limit_is_handled(listener: Callable[..., Any]) -> None:
    assert plan(listener, max_payload_bytes=len(LARGE)).deliver(batch_of(LARGE)).done == 1
    assert seen == [2]


def test_a_listener_of_messages_gets_payloads_of_any_size() -> None:
    def takes_message(message: Message) -> None:
        seen.append(message.payload)

    assert plan(takes_message, max_payload_bytes=1).deliver(batch_of(LARGE)).done == 1
    assert seen == [LARGE]


@pytest.mark.parametrize("listener", [reads_headers, takes_header, conditional], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([("x", b"1")] * 4, "the message has 4 headers: more than consumer.max-headers (3)"),
        ([("x", b"1" * 10)], "the message has 11 bytes of headers: more than consumer.max-header-bytes (10)"),
        ([("é" * 5, None), ("x", b"")], "the message has 11 bytes of headers"),
    ],
    ids=["many", "large", "large names"],
)
def test_headers_that_are_too_many_or_too_large_are_not_read(
    listener: Callable[..., Any], headers: list[tuple[str, bytes | None]], why: str
) -> None:
    inputs = plan(listener, max_headers=3, max_header_bytes=10)

    outcome = inputs.deliver(ListBatch([Record(b"{}", headers=headers)]))

    assert isinstance(outcome.then, Stop)
    assert why in str(outcome.then.error)
    assert seen == []


def test_headers_at_the_limits_are_read() -> None:
    inputs = plan(takes_header, max_headers=3, max_header_bytes=10)

    assert (
        inputs.deliver(ListBatch([Record(b"{}", headers=[("x", b"1"), ("y", b"12"), ("zz", b"345")])])).done == 1
    )
    assert seen == [b"1"]


def test_headers_that_nobody_reads_are_not_counted() -> None:
    assert plan(takes, max_headers=1).deliver(ListBatch([record({"n": 1}, a="1", b="2")])).done == 1


@pytest.mark.parametrize("listener", [takes, takes_many, takes_anything, reads_with_condition])
@pytest.mark.parametrize("depth", [250, 100_000])
def test_json_that_is_too_deep_fails_as_undecodable(listener: Callable[..., Any], depth: int) -> None:
    deep = b'{"n": 1, "x": ' + b"[" * depth + b"]" * depth + b"}"

    outcome = plan(listener).deliver(batch_of(deep))

    assert isinstance(outcome.then, Stop)
    assert isinstance(outcome.then.error.__cause__, DecodeError)
    assert "recursion limit" in str(outcome.then.error)


def test_a_payload_of_a_condition_is_not_parsed_before_its_length_is_known() -> None:
    arrival = Arrival(batch_of(b"{no"), 0, None, limits=Limits(2, 1, 1))

    with pytest.raises(DecodeError, match="max-payload-bytes"):
        _ = arrival.document
