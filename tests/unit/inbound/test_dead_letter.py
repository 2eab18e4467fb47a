"""Dead letters look like those that Spring Cloud Stream wrote (`tests/data/spring`: from real services)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from streambind.configuration.properties import DeadLetterFormat
from streambind.errors import PermanentError
from streambind.inbound.dead_letter import (
    MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES,
    Failure,
    dead_letter,
    lighter,
)
from streambind.inbound.letter_headers import X_FQCN, X_MESSAGE, X_STACKTRACE
from streambind.message import Message
from streambind.persistence.stack_trace import MAX_STACKTRACE_BYTES, stack_trace
from tests.unit.inbound.vectors import letters_and_sources

FACTS = [("sb-dlq-attempts", b"3"), ("sb-dlq-first-failure", b"1700"), ("sb-dlq-group", b"readers")]


def _letter(message: Message, error: BaseException, form: str = "spring-cloud-stream") -> Message:
    return dead_letter(message, Failure(error, 3, 1700), form=DeadLetterFormat(form), group="readers")


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("spring-cloud-stream", ("legacy-dlq", "modern-dlq")),
        ("spring-kafka", ("modern-dlt",)),
        ("spring-kafka-2", ("legacy-dlt",)),
    ],
)
def test_it_is_what_spring_wrote_but_for_the_exception(form: str, files: tuple[str, ...]) -> None:
    for source, spring in letters_and_sources(*files):
        ours = _letter(source, ValueError("poison"), form)

        assert (ours.key, ours.payload) == (spring.key, spring.payload)
        came = len(source.raw_headers)
        assert list(ours.raw_headers[:came]) == list(source.raw_headers)
        assert list(ours.raw_headers[came : came + 3]) == FACTS
        added, springs = ours.raw_headers[came + 3 :], list(spring.raw_headers[came:])
        assert [name for name, _ in added] == [name for name, _ in springs]
        for (name, value), (_, expected) in zip(added, springs, strict=True):
            if name.endswith("consumer-group"):
                assert value == b"readers"
            elif "-exception-" not in name:
                assert value == expected, name


def test_the_events_id_and_number_are_told_beside() -> None:
    headers: list[tuple[str, bytes | None]] = [
        ("sb-event-id", b"0196"),
        ("sb-origin", b"1/source/1/things/42"),
    ]
    came = Message(b"{}", raw_headers=headers, destination="things", partition=0, offset=0)
    copied = Message(b"{}", raw_headers=headers, destination="elsewhere", partition=0, offset=0)

    assert dict(_letter(came, ValueError()).raw_headers)["sb-dlq-seq"] == b"42"
    assert dict(_letter(came, ValueError()).raw_headers)["sb-dlq-event-id"] == b"0196"
    assert "sb-dlq-seq" not in dict(_letter(copied, ValueError()).raw_headers)


def test_spring_kafkas_cause_is_the_direct_one_else_the_exception_itself() -> None:
    message = Message(b"", destination="t", partition=0, offset=0)
    caused = _raised(ValueError("outer"), cause=_raised(KeyError("x")))

    assert (
        dict(_letter(message, caused, "spring-kafka").raw_headers)["kafka_dlt-exception-cause-fqcn"] == b"KeyError"
    )
    alone = dict(_letter(message, ValueError("x"), "spring-kafka").raw_headers)
    assert alone["kafka_dlt-exception-cause-fqcn"] == alone["kafka_dlt-exception-fqcn"] == b"ValueError"


def _told(error: BaseException) -> dict[str, str]:
    source = Message(b"{}", destination="things", partition=1, offset=2, timestamp_ms=3)
    return {name: (value or b"").decode() for name, value in _letter(source, error).raw_headers[8:]}


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as raised:  # noqa: BLE001
        return raised


def test_the_exception_is_told_by_class_message_and_trace() -> None:
    told = _told(_raised(PermanentError("category 7 is poison"), cause=_raised(KeyError("x"))))

    assert told[X_FQCN] == "streambind.errors.PermanentError"
    assert told[X_MESSAGE] == "category 7 is poison"
    trace = told[X_STACKTRACE]
    assert trace.index("KeyError: 'x'") < trace.index("was the cause of") < trace.index("category 7 is poison")
    assert trace.count("Traceback (most recent call last):") == 2
    assert Path(__file__).name in trace


def test_row_data_in_database_errors_stays_out() -> None:
    secret = "INSERT INTO person VALUES ('Mallory', 'secret')"
    error = IntegrityError(secret, {"name": "secret"}, Exception("UNIQUE constraint failed: person.name"))

    told = _told(_raised(RuntimeError("handler"), cause=_raised(error)))

    assert not any("secret" in text for text in told.values())
    assert "UNIQUE constraint failed: person.name" in told[X_STACKTRACE]


@given(st.text(max_size=10_000), st.booleans())
def test_headers_are_bounded_whatever_the_message(text: str, is_long: bool) -> None:
    error = ValueError(text * (30 if is_long else 1))
    values = dict(_letter(Message(None, destination="t", partition=0, offset=0), error).raw_headers)

    for name, limit in (
        (X_FQCN, MAX_NAME_BYTES),
        (X_MESSAGE, MAX_MESSAGE_BYTES),
        (X_STACKTRACE, MAX_STACKTRACE_BYTES),
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
    trace = _told(raised.value)[X_STACKTRACE]

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

    assert "Mute" in _told(Mute())[X_FQCN]
    assert _told(Mute())[X_MESSAGE] == ""


def test_a_message_without_a_time_says_so() -> None:
    headers = dict(_letter(Message(b"", destination="t", partition=0, offset=0), ValueError()).raw_headers)

    assert headers["x-original-timestamp"] == struct.pack(">q", -1)
    assert headers["x-original-timestamp-type"] == b"NoTimestampType"


@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("spring-cloud-stream", ["x-original-topic", "x-original-partition", "x-original-offset"]),
        (
            "spring-kafka",
            [f"kafka_dlt-original-{part}" for part in ("topic", "partition", "offset", "consumer-group")],
        ),
    ],
)
def test_headers_can_be_left_out_step_by_step_but_those_that_came_with_the_message(
    form: str, place: list[str]
) -> None:
    came: list[tuple[str, bytes | None]] = [
        ("x-exception-stacktrace", b"of an earlier letter"),
        ("sb-dlq-attempts", b"7"),
        ("kafka_dlt-exception-message", b"of an earlier letter"),
        ("a", None),
    ]
    message = Message(b"v", b"k", raw_headers=came, destination="t", partition=0, offset=0)
    letter: Message | None = _letter(message, ValueError("x"), form)
    assert letter is not None
    sizes, last = [len(letter.raw_headers)], letter

    while (letter := lighter(letter)) is not None:
        assert (letter.payload, letter.key, letter.partition) == (b"v", b"k", 0)
        assert list(letter.raw_headers[:4]) == came
        sizes.append(len(letter.raw_headers))
        last = letter

    assert len(sizes) == 4
    assert sizes == sorted(sizes, reverse=True)
    assert [name for name, _ in last.raw_headers[4:]] == ["sb-dlq-attempts", "sb-dlq-group", *place]
    assert lighter(Message(b"", raw_headers=came[:1])) is None
