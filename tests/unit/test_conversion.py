"""Payloads to bytes and back, by content type; and payloads made to hurt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from streambind import conversion
from streambind.conversion import BYTES, JSON, TEXT, Converter, converter_for, decode_text
from streambind.errors import ConfigurationError, DecodeError, EncodeError
from streambind.event import EntityEvent, JobType

MARK = b"\xef\xbb\xbf"


class Category(BaseModel):
    category_id: int = Field(alias="categoryId")
    name: str = "최종테스트"


@dataclass
class Point:
    x: int
    y: int


class Moved(EntityEvent):
    place: int


class Opaque:
    """Nothing that anybody could read or write."""


# Which converter


@pytest.mark.parametrize(
    ("content_type", "converter"),
    [
        ("application/json", JSON),
        ("text/json", JSON),
        ("application/json;charset=UTF-8", JSON),
        (" Application/JSON ; charset=utf-8", JSON),
        ('"application/json"', JSON),
        ("application/vnd.category+json", JSON),
        ("application/vnd.a+b+json;v=1", JSON),
        ("text/plain", TEXT),
        ("text/plain; charset=utf-8", TEXT),
        ("application/octet-stream", BYTES),
    ],
)
def test_a_content_type_has_its_converter(content_type: str, converter: Converter) -> None:
    assert converter_for(content_type) is converter


@pytest.mark.parametrize(
    "content_type", ["application/xml", "", "json", "application/x+xml", "text/*+json", "*/*"]
)
def test_an_unknown_content_type_names_the_known_ones(content_type: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no converter for contentType .*application/json, application/oct"
    ):
        converter_for(content_type)


class Shouting:
    """A package's converter: of a content type of its own, and of one that streambind has."""

    content_types = ("text/shouting", "text/plain")

    def encoder(self, time_zone: tzinfo) -> Callable[[object], bytes]:
        return lambda payload: str(payload).upper().encode()

    def decoder(self, annotation: Any, time_zone: tzinfo) -> Callable[[bytes], Any]:
        return lambda data: data.decode().lower()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Converter]:
    converter = Shouting()
    point = EntryPoint("shouting", "package:CONVERTER", "streambind.converters")
    monkeypatch.setattr(EntryPoint, "load", lambda self: converter)
    monkeypatch.setattr(conversion, "entry_points", lambda group: [point])
    conversion.converters.cache_clear()
    yield converter
    conversion.converters.cache_clear()


def test_a_package_brings_a_converter_and_replaces_none(installed: Converter) -> None:
    assert converter_for("text/shouting") is installed
    assert converter_for("text/plain") is TEXT


# JSON


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (Category(categoryId=2), '{"categoryId":2,"name":"최종테스트"}'),
        (Point(1, 2), '{"x":1,"y":2}'),
        ({"a": [1, None, True, 1.5, "최"]}, '{"a":[1,null,true,1.5,"최"]}'),
        ({"inner": Category(categoryId=2)}, '{"inner":{"categoryId":2,"name":"최종테스트"}}'),
        ([], "[]"),
        (7, "7"),
        (1.5, "1.5"),
        (None, "null"),
        (True, "true"),
        ((1, 2), "[1,2]"),
        ('{"a": 1}', '{"a": 1}'),
        (b'{"a" :1}', '{"a" :1}'),
    ],
)
def test_json_is_compact_and_unescaped_and_text_is_taken_for_json(payload: object, data: str) -> None:
    assert JSON.encoder(UTC)(payload) == data.encode()


@pytest.mark.parametrize("payload", [Opaque(), {"a": Opaque()}, "lone \ud800 surrogate"])
def test_what_has_no_json_form_is_refused(payload: object) -> None:
    with pytest.raises(EncodeError, match="has no JSON form"):
        JSON.encoder(UTC)(payload)


def test_what_contains_itself_has_no_json_form() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(EncodeError, match="a list has no JSON form"):
        JSON.encoder(UTC)(endless)


@pytest.mark.parametrize(
    ("annotation", "data", "payload"),
    [
        (Category, b'{"categoryId":2,"colour":"red"}', Category(categoryId=2)),
        (Point, b'{"x":1,"y":2}', Point(1, 2)),
        (dict[str, int], b'{"a":1}', {"a": 1}),
        (dict, b'{"a":[1]}', {"a": [1]}),
        (list[Point], b'[{"x":1,"y":2}]', [Point(1, 2)]),
        (Category | Point, b'{"x":1,"y":2}', Point(1, 2)),
        (int | None, b"null", None),
        (Any, b'"a"', "a"),
        (dict[str, int], MARK + b'{"a":1}', {"a": 1}),
    ],
)
def test_json_is_read_as_the_annotation_has_it(annotation: Any, data: bytes, payload: object) -> None:
    assert JSON.decoder(annotation, UTC)(data) == payload


@pytest.mark.parametrize(
    "data", [b"", b"no json", b'{"categoryId":"x"}', b"{}", b"null", b"\xff\xfe", b"[" * 100_000]
)
def test_what_cannot_be_read_says_as_what(data: bytes) -> None:
    with pytest.raises(DecodeError, match="the payload cannot be read as Category: ") as raised:
        JSON.decoder(Category, UTC)(data)
    assert raised.value.__cause__ is None, "the cause would quote the values"
    assert len(str(raised.value)) < 400


def test_a_reason_names_the_field_and_not_its_value() -> None:
    with pytest.raises(DecodeError) as raised:
        JSON.decoder(Category, UTC)(b'{"categoryId":"s3cret"}')
    assert "categoryId: Input should be a valid integer" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_type_that_nobody_can_read_is_refused_when_it_is_planned() -> None:
    with pytest.raises(ConfigurationError, match="a payload cannot be read as Opaque; take an event class"):
        JSON.decoder(Opaque, UTC)


def test_the_time_zone_counts_in_both_directions() -> None:
    zone = timezone(timedelta(hours=9))
    event = Moved(job_type=JobType.INSERT, place=1, timestamp=datetime(2022, 8, 8, 3, 12, 37, tzinfo=UTC))
    data = JSON.encoder(zone)(event)
    assert b'"timestamp":"2022-08-08-12:12:37"' in data
    assert JSON.decoder(Moved, zone)(data) == event
    assert JSON.decoder(Moved, UTC)(data).timestamp == event.timestamp + timedelta(hours=9)


# Text and bytes


@pytest.mark.parametrize("payload", ["최종", "최종".encode()])
def test_text_is_utf_8(payload: object) -> None:
    assert TEXT.encoder(UTC)(payload) == "최종".encode()


@pytest.mark.parametrize("payload", [7, None, {"a": 1}, Category(categoryId=2)])
def test_text_carries_nothing_else(payload: object) -> None:
    with pytest.raises(EncodeError, match=r"text/plain carries str, not .*; set the binding's contentType"):
        TEXT.encoder(UTC)(payload)


@pytest.mark.parametrize("annotation", [str, Any, object])
def test_text_is_read_as_text(annotation: Any) -> None:
    assert TEXT.decoder(annotation, UTC)("최종".encode()) == "최종"


def test_text_that_is_not_utf_8_says_where() -> None:
    with pytest.raises(DecodeError, match="the payload is not UTF-8 text: invalid start byte at byte 1"):
        decode_text(b"a\xff")


@pytest.mark.parametrize("payload", [b"\xff", bytearray(b"\xff"), memoryview(b"\xff")])
def test_bytes_travel_as_they_are(payload: object) -> None:
    data = BYTES.encoder(UTC)(payload)
    assert (type(data), data) == (bytes, b"\xff")


@pytest.mark.parametrize("payload", ["text", 7, None, [1]])
def test_bytes_carry_nothing_else(payload: object) -> None:
    with pytest.raises(EncodeError, match="application/octet-stream carries bytes, not "):
        BYTES.encoder(UTC)(payload)


@pytest.mark.parametrize("annotation", [bytes, Any, object])
def test_bytes_are_read_as_bytes(annotation: Any) -> None:
    assert BYTES.decoder(annotation, UTC)(b"\xff") == b"\xff"


@pytest.mark.parametrize("converter", [TEXT, BYTES])
def test_text_and_bytes_that_are_asked_for_as_a_model_are_taken_for_json(converter: Converter) -> None:
    assert converter.decoder(Category, UTC)(b'{"categoryId":2}') == Category(categoryId=2)


# Values of another type


class Order(EntityEvent):
    order_id: int
    is_paid: bool = False


class Exact(EntityEvent):
    model_config = ConfigDict(strict=True)

    order_id: int


class ExactId(EntityEvent):
    order_id: StrictInt


@pytest.mark.parametrize(
    ("value", "read"),
    [(b"12", 12), (b'"12"', 12), (b"12.0", 12), (b"12.5", None), (b'"twelve"', None), (b"null", None)],
)
def test_values_are_converted_where_nothing_is_lost(value: bytes, read: int | None) -> None:
    decode, data = JSON.decoder(Order, UTC), b'{"jobType":"INSERT","orderId":' + value + b',"isPaid":1}'
    if read is None:
        with pytest.raises(DecodeError, match="orderId: "):
            decode(data)
    else:
        event = decode(data)
        assert (event.order_id, event.is_paid) == (read, True)


@pytest.mark.parametrize("annotation", [Exact, ExactId])
@pytest.mark.parametrize("value", [b'"12"', b"12.0", b"true"])
def test_a_class_or_field_may_refuse_to_convert(annotation: type[EntityEvent], value: bytes) -> None:
    decode = JSON.decoder(annotation, UTC)
    assert decode(b'{"jobType":"INSERT","timestamp":"2022-08-08-12:12:37","orderId":12}')
    with pytest.raises(DecodeError, match="orderId: Input should be a valid integer"):
        decode(b'{"jobType":"INSERT","orderId":' + value + b"}")


# Payloads made to hurt: marks without end, and names of fields that fake lines of the log.


def test_more_than_one_byte_order_mark_is_no_json() -> None:
    with pytest.raises(DecodeError):
        JSON.decoder(dict[str, int], UTC)(MARK * 300_000 + b'{"a":1}')


def test_a_reason_quotes_little_of_a_name_and_nothing_that_steers() -> None:
    name = "x\\n2026-11-30 CRITICAL audit \\u001b[31m" + "y" * 100_000
    with pytest.raises(DecodeError) as raised:
        JSON.decoder(dict[str, int], UTC)(f'{{"{name}":"no number"}}'.encode())
    told = str(raised.value)
    assert "\n" not in told
    assert "\x1b" not in told
    assert r"x\n2026-11-30 CRITICAL audit \x1b[31m" in told
    assert len(told) < 400


def test_of_many_reasons_the_first_are_told() -> None:
    with pytest.raises(DecodeError, match=r"0: .*; 1: .*; 2: .*; and 7 more$"):
        JSON.decoder(list[int], UTC)(b'["x","x","x","x","x","x","x","x","x","x"]')
