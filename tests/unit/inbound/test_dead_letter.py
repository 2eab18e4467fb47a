"""Dead letters look like those that Spring Cloud Stream wrote (`tests/data/spring`: from real services)."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from streambind.errors import PermanentError
from streambind.inbound.dead_letter import (
    EXCEPTION_FQCN,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES,
    MAX_STACKTRACE_BYTES,
    dead_letter,
    lighter,
    stack_trace,
)
from streambind.message import Message

_VECTORS = Path(__file__).parents[2] / "data" / "spring"


def _bytes(part: dict[str, str] | None) -> bytes | None:
    return None if part is None else bytes.fromhex(part["hex"])


def _message(record: dict[str, Any]) -> Message:
    return Message(
        _bytes(record["value"]),
        _bytes(record["key"]),
        raw_headers=[(header["name"], _bytes(header)) for header in record["headers"]],
        destination=record["topic"],
        partition=record["partition"],
        offset=record["offset"],
        timestamp_ms=record["timestamp"],
    )


def _pairs() -> list[Any]:
    """Every record that Spring dead-lettered, and the dead letter that it wrote."""
    pairs = []
    for name in ("legacy-dlq", "modern-dlq"):
        messages = [_message(record) for record in json.loads((_VECTORS / f"{name}.json").read_text())]
        sources = {(m.destination, m.partition, m.offset): m for m in messages}
        for letter in messages:
            headers = dict(letter.raw_headers)
            if "x-original-topic" not in headers:
                continue
            topic = (headers["x-original-topic"] or b"").decode()
            (partition,) = struct.unpack(">i", headers["x-original-partition"] or b"")
            (offset,) = struct.unpack(">q", headers["x-original-offset"] or b"")
            place = (topic, partition, offset)
            pairs.append(pytest.param(sources[place], letter, id=f"{name}-{partition}-{offset}"))
    assert len(pairs) >= 6
    return pairs


@pytest.mark.parametrize(("source", "spring"), _pairs())
def test_it_is_what_spring_wrote_but_for_the_exception(source: Message, spring: Message) -> None:
    ours = dead_letter(source, ValueError("poison"))

    assert (ours.key, ours.payload) == (spring.key, spring.payload)
    assert [name for name, _ in ours.raw_headers] == [name for name, _ in spring.raw_headers]
    told = (EXCEPTION_FQCN, EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE)
    assert _without(ours, told) == _without(spring, told)


def _without(message: Message, names: tuple[str, ...]) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in message.raw_headers if name not in names]


def _told(error: BaseException) -> dict[str, str]:
    source = Message(b"{}", destination="things", partition=1, offset=2, timestamp_ms=3)
    return {name: (value or b"").decode() for name, value in dead_letter(source, error).raw_headers[5:]}


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as raised:  # noqa: BLE001
        return raised


def test_the_exception_is_told_by_class_message_and_trace() -> None:
    told = _told(_raised(PermanentError("category 7 is poison"), cause=_raised(KeyError("x"))))

    assert told[EXCEPTION_FQCN] == "streambind.errors.PermanentError"
    assert told[EXCEPTION_MESSAGE] == "category 7 is poison"
    trace = told[EXCEPTION_STACKTRACE]
    assert trace.index("KeyError: 'x'") < trace.index("was the cause of") < trace.index("category 7 is poison")
    assert trace.count("Traceback (most recent call last):") == 2
    assert Path(__file__).name in trace


def test_row_data_in_database_errors_stays_out() -> None:
    secret = "INSERT INTO person VALUES ('Mallory', 'secret')"
    error = IntegrityError(secret, {"name": "secret"}, Exception("UNIQUE constraint failed: person.name"))

    told = _told(_raised(RuntimeError("handler"), cause=_raised(error)))

    assert not any("secret" in text for text in told.values())
    assert "UNIQUE constraint failed: person.name" in told[EXCEPTION_STACKTRACE]


@given(st.text(max_size=10_000), st.booleans())
def test_headers_are_bounded_whatever_the_message(text: str, is_long: bool) -> None:
    error = ValueError(text * (30 if is_long else 1))
    values = dict(dead_letter(Message(None, destination="t", partition=0, offset=0), error).raw_headers)

    for name, limit in (
        (EXCEPTION_FQCN, MAX_NAME_BYTES),
        (EXCEPTION_MESSAGE, MAX_MESSAGE_BYTES),
        (EXCEPTION_STACKTRACE, MAX_STACKTRACE_BYTES),
    ):
        value = values[name]
        assert value is not None
        assert len(value) <= limit
        value.decode()


def test_a_long_trace_keeps_its_beginning_and_its_end() -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("at the bottom")
        deep(n - 1)

    with pytest.raises(ValueError, match="bottom") as raised:
        (lambda: deep(400))()
    trace = _told(raised.value)[EXCEPTION_STACKTRACE]

    assert trace.startswith("Traceback (most recent call last):")
    assert trace.rstrip().endswith("ValueError: at the bottom")


def test_an_exception_that_is_its_own_cause_ends() -> None:
    error = ValueError("round")
    error.__cause__ = error

    assert stack_trace(error).count("ValueError: round") == 1


def test_an_exception_that_cannot_be_told_is_told_by_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert "Mute" in _told(Mute())[EXCEPTION_FQCN]
    assert _told(Mute())[EXCEPTION_MESSAGE] == ""


def test_a_message_without_a_time_says_so() -> None:
    headers = dict(dead_letter(Message(b"", destination="t", partition=0, offset=0), ValueError()).raw_headers)

    assert headers["x-original-timestamp"] == struct.pack(">q", -1)
    assert headers["x-original-timestamp-type"] == b"NoTimestampType"


def test_headers_can_be_left_out_step_by_step_but_those_that_came_with_the_message() -> None:
    came: list[tuple[str, bytes | None]] = [("x-exception-stacktrace", b"of an earlier letter"), ("a", None)]
    message = Message(b"v", b"k", raw_headers=came, destination="t", partition=0, offset=0)
    letter: Message | None = dead_letter(message, ValueError("x"))
    assert letter is not None
    whole = list(letter.raw_headers)

    left = []
    while (letter := lighter(letter)) is not None:
        assert (letter.payload, letter.key, letter.partition) == (b"v", b"k", 0)
        left.append(list(letter.raw_headers))

    assert left == [whole[:-1], whole[:-2], whole[:-5]]
    assert [name for name, _ in left[-1][2:]] == ["x-original-topic", "x-original-partition", "x-original-offset"]
    assert lighter(Message(b"")) is None
