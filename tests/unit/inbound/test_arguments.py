"""Arguments are filled by annotation."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, Field

from streambind.binding.outcome import Continue, Outcome
from streambind.event import JobType
from streambind.inbound.listener import Header
from streambind.message import Message
from tests.unit.inbound.batches import ListBatch, Record, batch_of, record
from tests.unit.inbound.planning import plan
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


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


def test_an_entity_event_is_read_in_the_configured_time_zone() -> None:
    outcome = plan(takes_event, surroundings={"time_zone": ZoneInfo("Asia/Seoul")}).deliver(batch_of(DOCUMENT))

    assert outcome == Outcome(1, Continue())
    event = seen.one()
    assert (event.category_id, event.category_name, event.job_type) == (2, "최종테스트", JobType.INSERT)
    assert event.timestamp == datetime(2022, 8, 8, 3, 12, 37, tzinfo=UTC)


def takes_pet(event: Pet) -> None:
    seen.append(event)


@pytest.mark.parametrize(
    ("listener", "payload", "value"),
    [
        (takes_dict, {"a": [1]}, {"a": [1]}),
        (takes_point, {"x": 1, "y": 2}, Point(1, 2)),
        (takes_pet, {"kind": "dog", "name": "Rex"}, Dog(kind="dog", name="Rex")),
        (takes_pet, {"kind": "cat", "lives": 7}, Cat(kind="cat", lives=7)),
        (takes_text, b'"quoted"', '"quoted"'),
        (takes_text, "최종".encode(), "최종"),
        (takes_bytes, b"\x00\xff", b"\x00\xff"),
        (takes_bytes, b"", b""),
    ],
)
def test_a_payload_may_be_of_any_type(listener: Any, payload: object, value: object) -> None:
    assert plan(listener).deliver(batch_of(payload)).done == 1
    assert seen == [value]


def takes_message(message: Message) -> None:
    seen.append(message)


def test_the_message_itself_is_never_decoded() -> None:
    batch = ListBatch([record(b"{no json", "k", type="X")], start=5, partition=3)

    assert plan(takes_message).deliver(batch).done == 1

    message = seen.one()
    assert (message.destination, message.partition, message.offset) == ("things", 3, 5)
    assert (message.key, message.payload, message.headers["type"]) == (b"k", b"{no json", "X")


def takes_headers(
    event: dict[str, Any],
    kind: Annotated[str, Header("type")],
    attempt: Annotated[int, Header("attempt")] = 1,
    trace: Annotated[str | None, Header("traceparent")] = None,
    raw: Annotated[bytes | None, Header("type")] = None,
    *,
    flag: Annotated[bool, Header] = False,
) -> None:
    seen.append((kind, attempt, trace, raw, flag))


def test_headers_are_given_as_their_types() -> None:
    assert plan(takes_headers).deliver(ListBatch([record({}, None, type="X", attempt=3, flag=True)])).done == 1
    assert seen.one() == ("X", 3, None, b"X", True)


def test_absent_headers_have_their_defaults() -> None:
    assert plan(takes_headers).deliver(ListBatch([record({}, type="X")])).done == 1
    assert seen.one() == ("X", 1, None, b"X", False)


def test_a_header_without_type_entry_is_text_for_whoever_wants_text() -> None:
    headers = [("type", b"X"), ("attempt", b"3"), ("traceparent", b"00-ab")]

    assert plan(takes_headers).deliver(ListBatch([Record(b"{}", headers=headers)])).done == 1
    assert seen.one() == ("X", 3, "00-ab", b"X", False)


def takes_map(tags: Annotated[dict[str, Any], Header("tags")] = {}) -> None:  # noqa: B006
    seen.append(tags)


def test_a_default_may_be_of_any_kind() -> None:
    assert plan(takes_map).deliver(ListBatch([record({}), record({}, tags={"a": 1})])).done == 2
    assert seen == [{}, {"a": 1}]


def test_of_a_repeated_header_the_last_one_counts() -> None:
    headers = [("type", b"A"), ("type", b"B")]

    assert plan(takes_headers).deliver(ListBatch([Record(b"{}", headers=headers)])).done == 1
    assert seen.one()[3] == b"B"


def test_a_required_header_that_is_missing_fails_the_message_for_good() -> None:
    text = error_of(plan(takes_headers).deliver(batch_of({})))

    assert "header 'type' is missing; give the argument a default, or annotate X | None" in text
    assert "tried once" in text


def test_a_header_of_another_type_fails_the_message_for_good() -> None:
    text = error_of(plan(takes_headers).deliver(ListBatch([record({}, type="X", attempt="soon")])))

    assert "header 'attempt' is not what the listener takes" in text


def test_headers_are_not_read_if_nobody_asks_but_of_the_last_message() -> None:
    """It says how fresh the read model is."""
    batch = batch_of(DOCUMENT, DOCUMENT)

    plan(takes_event).deliver(batch)

    assert batch.asked_headers == [1]


async def takes_event_async(event: CategoryChanged, kind: Annotated[str, Header("type")] = "none") -> None:
    seen.append((event.category_id, kind))


def test_an_async_listener_is_waited_for() -> None:
    assert plan(takes_event_async).deliver(batch_of(DOCUMENT, DOCUMENT)).done == 2
    assert seen == [(2, "none"), (2, "none")]


def takes_nothing() -> None:
    seen.append("called")


def test_a_listener_may_take_nothing() -> None:
    assert plan(takes_nothing).deliver(batch_of(b"x")).done == 1
    assert seen == ["called"]


class Handlers:
    def handle(self, event: CategoryChanged) -> None:
        seen.append(event.category_id)

    def __call__(self, event: CategoryChanged) -> None:
        seen.append(-event.category_id)


def _with_prefix(prefix: str, event: CategoryChanged) -> None:
    seen.append(f"{prefix}{event.category_id}")


def test_methods_objects_and_partials_are_listeners() -> None:
    assert plan(Handlers().handle, Handlers(), partial(_with_prefix, "p")).deliver(batch_of(DOCUMENT)).done == 1
    assert seen == [2, -2, "p2"]
