"""Conditions as text: Spring's expressions, the safe part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.errors import ConfigurationError
from streambind.expression import compile_condition


@dataclass
class Given:
    headers: Mapping[str, object] = field(default_factory=dict)
    document: object = None


TYPED = Given(
    headers={"type": "LectureCategoryChanged", "attempt": 2, "flag": True, "raw": b"x", "it's": "so"},
    document={"lecture": {"id": 7, "draft": False, "name": "수학"}, "ready": True, "not": 1, "price": 1.5},
)


@pytest.mark.parametrize(
    "text",
    [
        "headers['type'] == 'LectureCategoryChanged'",
        "headers['type']=='LectureCategoryChanged'",
        'headers["type"] == "LectureCategoryChanged"',
        "'LectureCategoryChanged' == headers['type']",
        "headers['attempt'] == 2",
        "headers['flag']",
        "headers['flag'] == true",
        "headers['absent'] == null",
        "headers['it''s'] == 'so'",
        "headers['type'] != 'Other'",
        "payload.lecture.id == 7",
        "payload.lecture.name == '수학'",
        "payload.lecture.absent.deeper == null",
        "payload.ready and not payload.lecture.draft",
        "payload.ready && !payload.lecture.draft",
        "payload.absent || payload.ready",
        "payload.price == 1.5",
        "payload.not == 1",
        "payload != null",
        "not (headers['type'] == 'A' or headers['type'] == 'B')",
        "false or false or true",
        "true or false and false",
        "not false and true",
        "headers['attempt'] ne 3 and headers['attempt'] eq 2",
        "  headers [ 'attempt' ]  ==  2  ",
        "-1 == -1",
    ],
)
def test_it_holds(text: str) -> None:
    assert compile_condition(text)(TYPED) is True


@pytest.mark.parametrize(
    "text",
    [
        "headers['type'] == 'lecturecategorychanged'",
        "headers['flag'] == 1",
        "headers['raw'] == 'x'",
        "headers['attempt'] == '2'",
        "headers['type']",
        "payload.lecture.draft",
        "payload.lecture",
        "payload.lecture.id.more == 7",
        "(true or true) and false",
        "null",
    ],
)
def test_it_does_not_hold(text: str) -> None:
    assert compile_condition(text)(TYPED) is False


def test_the_properties_of_a_tombstone_are_null() -> None:
    assert compile_condition("payload.jobType == null and payload == null")(Given()) is True


def test_the_payload_is_read_only_if_it_is_asked_for() -> None:
    class Unreadable:
        headers: Mapping[str, object] = {"type": "A"}

        @property
        def document(self) -> object:
            raise AssertionError("nobody asked for the payload")

    assert compile_condition("headers['type'] == 'A' or payload.x == 1")(Unreadable()) is True


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "a value is expected, not the end"),
        ("headers['type'] = 'A'", 17, "'=' is not part of an expression"),
        ("headers['type'] == ", 19, "a value is expected, not the end"),
        ("headers.type == 'A'", 8, "'[' is expected"),
        ("headers[type] == 'A'", 9, "a header's name in quotes is expected"),
        ("headers['type' == 'A'", 16, "']' is expected"),
        ("payload.getName() == 'A'", 16, "methods are not called"),
        ("T(java.lang.Runtime).getRuntime()", 1, "a value is expected, not 'T'"),
        ("@bean.check()", 1, "'@' is not part of an expression"),
        ("#root", 1, "'#' is not part of an expression"),
        ("payload.a > 1", 11, "'>' is not part of an expression"),
        ("payload. == 1", 10, "a property's name is expected"),
        ("(payload.a == 1", 16, "')' is expected"),
        ("payload.a == 1)", 15, "')' is not expected here"),
        ("'a' == 'b' == 'c'", 12, "'==' is not expected here"),
        ("payload.a == 'open", 14, '"\'" is not part of an expression'),
        ("headers['a'] payload.b", 14, "'payload' is not expected here"),
        ("1.2.3 == 1", 1, "'1' is not part of an expression"),
        ("(" * 60 + "true" + ")" * 60, 52, "more than 50 levels"),
        ("!" * 60 + "true", 52, "more than 50 levels"),
    ],
)
def test_anything_else_is_an_error_with_its_column(text: str, column: int, reason: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        compile_condition(text)

    assert f", column {column}: {reason}" in str(raised.value)
    assert repr(text) in str(raised.value)


@given(st.text(alphabet=st.sampled_from(list("headrspylo.[]'\"()=!&| 0123456789nottrue\n")), max_size=60))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        condition = compile_condition(text)
    except ConfigurationError:
        return
    assert condition(TYPED) in (True, False)


@given(st.text(), st.text())
def test_any_text_can_be_compared(name: str, value: str) -> None:
    quoted = value.replace("'", "''")
    held = Given(headers={name: value}, document=json.loads("{}"))

    assert compile_condition(f"headers['{name.replace(chr(39), chr(39) * 2)}'] == '{quoted}'")(held) is True
