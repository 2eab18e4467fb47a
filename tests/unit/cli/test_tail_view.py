"""How messages are shown, whatever they hold."""

from __future__ import annotations

import json
import time

import pytest

from streambind.cli.tail_view import message_lines, print_message, show_message
from streambind.message import Message

HEADERS = (
    ("type", b"LectureCategoryChanged"),
    ("contentType", b"application/json"),
    ("sb-event-id", b"1"),
    ("spring_json_header_types", b"{}"),
)


def _message(payload: bytes | None, key: bytes | None = b"2", **fields: object) -> Message:
    place = {"destination": "t", "partition": 0, "offset": 7, "timestamp_ms": round(time.time() * 1000)}
    return Message(payload, key, **{"raw_headers": HEADERS, **place, **fields})  # type: ignore[arg-type]


def test_key_time_and_the_users_headers_are_shown() -> None:
    where, payload = message_lines(_message(b'{"a":1}', timestamp_ms=1_660_000_357_000))
    assert where.plain == "p0 @7  key=2  2022-08-08 23:12:37  type=LectureCategoryChanged"
    assert payload.plain == '{"a":1}'


def test_all_headers_are_shown_when_asked_for() -> None:
    where, _ = message_lines(_message(b"x"), all_headers=True)
    for name, _value in HEADERS:
        assert f"  {name}=" in where.plain


def test_the_date_is_left_out_today() -> None:
    where, _ = message_lines(_message(b"x", key=None))
    assert where.plain.split()[2].count(":") == 2


@pytest.mark.parametrize("timestamp", [None, -1, 10**18])
def test_a_missing_or_absurd_time_is_no_trouble(timestamp: int | None) -> None:
    where, _ = message_lines(_message(b"x", timestamp_ms=timestamp))
    assert where.plain.startswith("p0 @7  key=2")


def test_a_tombstone_is_null() -> None:
    assert message_lines(_message(None))[1].plain == "null"


def test_bytes_that_are_no_text_are_hexadecimal() -> None:
    assert message_lines(_message(b"\x00\xff\x10", key=b"\xfe"))[1].plain == "<3 bytes: 00ff10>"
    long = message_lines(_message(b"\xff" * 1000))[1].plain
    assert long.startswith("<1000 bytes: ")
    assert long.endswith("...>")
    assert len(long) < 200


def test_hostile_messages_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\x1b]0;x\x07\u202e\x9b31m[bold]"
    message = _message(
        f'{{"a":"{hostile}"}}'.encode(),
        hostile.encode(),
        raw_headers=[(hostile, hostile.encode()), ("b", None), (hostile, b"\xff")],
    )
    show_message(message, all_headers=True)
    print_message(message)
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "[bold]" in shown


def _json(capsys: pytest.CaptureFixture[str], message: Message) -> dict[str, object]:
    print_message(message)
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    document: dict[str, object] = json.loads(text)
    return document


def test_json_is_one_line_per_message(capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, _message('{\n "name": "최종"}'.encode(), timestamp_ms=5))
    assert document == {
        "destination": "t",
        "partition": 0,
        "offset": 7,
        "timestamp_ms": 5,
        "key": "2",
        "headers": [[name, value.decode()] for name, value in HEADERS],
        "payload": {"name": "최종"},
    }


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (None, {"payload": None}),
        (b"null", {"payload": None}),
        (b"plain", {"payload": "plain"}),
        (b'"quoted"', {"payload": "quoted"}),
        (b"NaN", {"payload": "NaN"}),
        (b"[1e999]", {"payload": "[1e999]"}),
        (b'{"a":NaN}', {"payload": '{"a":NaN}'}),
        (b"[" * 100_000, {"payload": "[" * 100_000}),
        (b"\xff\x00", {"payload_base64": "/wA="}),
        (b"9" * 5000, {"payload": "9" * 5000}),
    ],
)
def test_json_says_what_a_payload_is(
    capsys: pytest.CaptureFixture[str], payload: bytes | None, expected: dict[str, object]
) -> None:
    document = _json(capsys, _message(payload, key=b"\xff"))
    assert {name: value for name, value in document.items() if name.startswith("payload")} == expected
    assert document["key_base64"] == "/w=="
