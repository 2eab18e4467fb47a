"""Dead letters are read back, whoever wrote them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.properties import DeadLetterFormat
from streambind.inbound.dead_letter import Failure, dead_letter, lighter
from streambind.inbound.letter import read_letter
from streambind.inbound.letter_headers import OUR_HEADERS, X_HEADERS
from streambind.inbound.replay import place_of
from streambind.message import Message
from tests.unit.inbound.vectors import letters_and_sources

SCS, SK, SK2 = DeadLetterFormat


@pytest.mark.parametrize(
    ("file", "form", "group", "causes"),
    [
        (
            "legacy-dlq",
            SCS,
            None,
            {
                ("java.lang.IllegalStateException", "poison category 7"),
                ("java.lang.IllegalStateException", "poison category 8"),
                ("com.fasterxml.jackson.core.JsonParseException", "Unexpected character"),
            },
        ),
        (
            "modern-dlq",
            SCS,
            None,
            {
                ("java.lang.IllegalStateException", "poison category 7"),
                ("java.lang.IllegalStateException", "poison category 8"),
                ("java.lang.ClassCastException", "class [B cannot be cast"),
            },
        ),
        ("legacy-dlt", SK2, None, {("java.lang.IllegalStateException", "poison record 8")}),
        (
            "modern-dlt",
            SK,
            "CGR-sj-mp-plain",
            {
                ("java.lang.IllegalStateException", "poison record 7"),
                ("java.lang.IllegalStateException", "poison record 8"),
                ("java.lang.UnsupportedOperationException", "root"),
            },
        ),
        (
            "modern-retry-exponential",
            SK,
            "CGR-sj-mp-retry",
            {
                ("java.lang.IllegalStateException", "poison record 7"),
                ("java.lang.IllegalStateException", "poison record 8"),
            },
        ),
        (
            "modern-retry-fixed",
            SK,
            "CGR-sj-mp-fixed",
            {("java.lang.IllegalStateException", "poison record 7")},
        ),
    ],
)
def test_springs_letters_are_read(
    file: str, form: DeadLetterFormat, group: str | None, causes: set[tuple[str, str]]
) -> None:
    found = set()
    for source, record in letters_and_sources(file):
        letter = read_letter(record)
        came = letter.message

        assert (letter.format, letter.group) == (form, group)
        assert (came.destination, came.partition, came.offset) == (
            source.destination,
            source.partition,
            source.offset,
        )
        assert came.timestamp_ms == source.timestamp_ms
        assert (came.key, came.payload) == (source.key, source.payload)
        assert list(came.raw_headers) == list(source.raw_headers)
        assert letter.failed_ms == record.timestamp_ms
        found.add((letter.cause.name, letter.cause.text))

    for name, text in causes:
        assert any(n == name and text in t for n, t in found), (name, text, found)
    assert len(found) == len(causes)


WRAPPED = b"org.springframework.kafka.listener.ListenerExecutionFailedException"


@pytest.mark.parametrize("prefix", ["kafka_dlt-exception-", "kafka_exception-"])
@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"fqcn": WRAPPED, "cause-fqcn": b"java.lang.IllegalStateException"}, "java.lang.IllegalStateException"),
        ({"fqcn": b"java.lang.ArithmeticException"}, "java.lang.ArithmeticException"),
        (
            {
                "fqcn": WRAPPED,
                "cause-fqcn": b"java.lang.Error",
                "stacktrace": b"x\nCaused by: java.lang.Error: y\nCaused by: java.io.IOException: failed",
            },
            "java.io.IOException",
        ),
    ],
    ids=["cause", "no cause", "a cause within the cause"],
)
def test_the_cause_is_the_services_own_exception(prefix: str, told: dict[str, bytes], name: str) -> None:
    """Spring leaves the stack trace out if a letter would be too large, or is told to."""
    headers: list[tuple[str, bytes | None]] = [(f"{prefix}{part}", value) for part, value in told.items()]
    headers += [(f"{prefix}message", b"failed"), ("kafka_dlt-original-topic", b"t")]

    cause = read_letter(Message(b"", raw_headers=headers)).cause

    assert (cause.name, cause.text) == (name, "failed")


def test_the_attempts_of_retry_topics_are_those_of_the_last_hop() -> None:
    letters = [
        read_letter(record)
        for _, record in letters_and_sources("modern-retry-exponential")
        if record.destination == "sj-mp-retry-dlt"
    ]

    assert [letter.attempts for letter in letters] == [4, 4]


HEADERS = st.lists(
    st.tuples(
        st.one_of(
            st.text(max_size=8), st.sampled_from([*sorted(X_HEADERS | OUR_HEADERS), "kafka_dlt-original-topic"])
        ),
        st.one_of(st.none(), st.binary(max_size=20)),
    ),
    max_size=8,
)
MESSAGES = st.builds(
    Message,
    st.one_of(st.none(), st.binary(max_size=20)),
    st.one_of(st.none(), st.binary(max_size=8)),
    raw_headers=HEADERS,
    destination=st.text(min_size=1, max_size=8).filter(
        lambda text: text.encode(errors="replace").decode() == text
    ),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
)


@given(MESSAGES, st.sampled_from(list(DeadLetterFormat)), st.text(max_size=50), st.integers(0, 3))
def test_what_is_written_is_read_back(message: Message, form: DeadLetterFormat, text: str, steps: int) -> None:
    record = dead_letter(message, Failure(ValueError(text), 5, 1234), form=form, group="readers")
    for _ in range(steps):
        record = lighter(record) or record

    letter = read_letter(record)

    assert (letter.format, letter.group, letter.attempts) == (
        form if form is not SK2 else letter.format,
        "readers",
        5,
    )
    came = letter.message
    assert (came.key, came.payload, list(came.raw_headers)) == (message.key, message.payload, message.raw_headers)
    assert (came.destination, came.partition, came.offset) == (
        message.destination,
        message.partition,
        message.offset,
    )
    kept = letter.to_be_kept()
    assert (kept.message, place_of(kept), kept.failed_ms) == (came, place_of(letter), letter.failed_ms)
    assert (kept.cause.name, kept.cause.text, kept.group) == (letter.cause.name, letter.cause.text, letter.group)
    assert (kept.stands.payload, [*kept.stands.raw_headers], kept.cause.stack_trace) == (None, [], "")
    if steps == 0:
        assert came.timestamp_ms == message.timestamp_ms
        assert letter.first_failure_ms == 1234
        assert letter.cause.name == "ValueError"
        assert letter.cause.text == text.encode(errors="replace").decode()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *sorted(X_HEADERS | OUR_HEADERS),
                    *(f"{p}-{n}" for p in ("kafka_dlt-original", "kafka_original") for n in ("topic", "offset")),
                    *(f"kafka_dlt-exception-{n}" for n in ("fqcn", "cause-fqcn", "message", "stacktrace")),
                    "kafka_exception-fqcn",
                    "retry_topic-attempts",
                    "x",
                ]
            ),
            st.one_of(st.none(), st.binary(max_size=12), st.just(b"\nCaused by: a.B: \xff\nCaused by: ")),
        ),
        max_size=12,
    )
)
def test_hostile_headers_are_no_error(headers: list[tuple[str, bytes | None]]) -> None:
    letter = read_letter(Message(b"", raw_headers=headers, destination="d", partition=0, offset=0, timestamp_ms=1))

    for number in (letter.message.partition, letter.message.offset, letter.message.timestamp_ms, letter.attempts):
        assert number is None or number >= 0
    assert all(header in headers for header in letter.message.raw_headers)
    assert [header for header in headers if header[0] == "x"] == [
        header for header in letter.message.raw_headers if header[0] == "x"
    ]


def test_a_forged_mark_hides_no_header_of_springs_letter() -> None:
    forged: list[tuple[str, bytes | None]] = [
        ("sb-dlq-attempts", b"1"),
        ("type", b"T"),
        ("x-original-topic", b"t"),
    ]

    letter = read_letter(Message(b"", raw_headers=forged))

    assert list(letter.message.raw_headers) == forged[:2]
    assert letter.message.destination == "t"


def test_a_record_that_is_no_letter_says_so() -> None:
    letter = read_letter(Message(b"v", b"k", raw_headers=[("type", b"T")], destination="d"))

    assert letter.format is None
    assert letter.message.destination is None
    assert list(letter.message.raw_headers) == [("type", b"T")]


@pytest.mark.parametrize("partition", [2**31 - 1, 2**31, 2**32])
def test_a_partition_that_nobody_can_have_is_not_known(partition: int) -> None:
    headers = [("x-original-topic", b"a"), ("x-original-partition", partition.to_bytes(8, "big"))]
    read = read_letter(Message(b"{}", b"k", raw_headers=headers))
    assert read.message.partition == (partition if partition < 2**31 else None)
