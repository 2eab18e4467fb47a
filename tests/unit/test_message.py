"""A message: what it holds, and its headers, which are decoded when somebody asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind import message as module
from streambind.configuration.properties import DeadLetterFormat
from streambind.headers import TYPES
from streambind.inbound.dead_letter import Failure, dead_letter
from streambind.message import Message, RawHeaders, number_of, origin_of


def test_a_payload_alone_is_a_message() -> None:
    message = Message(b"{}")
    assert (message.payload, message.key, list(message.raw_headers), dict(message.headers)) == (
        b"{}",
        None,
        [],
        {},
    )
    assert (message.destination, message.partition, message.offset, message.timestamp_ms) == (None,) * 4


def test_a_tombstone_has_no_payload() -> None:
    assert Message(None, b"1").payload is None


def test_headers_are_decoded_by_their_types() -> None:
    raw = [("n", b"7"), ("n", b"8"), ("other", b"\xff"), (TYPES, b'{"n":"java.lang.Integer"}')]
    message = Message(b"", raw_headers=raw)
    assert message.headers == {"n": 8, "other": b"\xff"}
    assert message.raw_headers is raw


def test_what_a_dead_letter_says_of_itself_is_no_header_of_the_message() -> None:
    """Whoever may write to the topic could have written it, and a listener would believe it."""
    failed = Message(b"", raw_headers=[("why", b"seen")], destination="things", partition=0, offset=1)
    letter = dead_letter(failed, Failure(ValueError(), 3, 1), form=DeadLetterFormat.SPRING_CLOUD_STREAM, group="g")
    facts = {name for name, _ in letter.raw_headers if name.startswith("sb-dlq-")}

    assert facts == {"sb-dlq-attempts", "sb-dlq-first-failure", "sb-dlq-group"}
    assert letter.headers["why"] == b"seen"
    assert letter.headers.keys() == {name for name, _ in letter.raw_headers} - facts
    assert Message(b"", raw_headers=[("sb-dlq-replay-by", b"ann"), (TYPES, b"{}")]).headers == {}


def test_headers_are_decoded_once_and_only_if_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []

    def decode(raw: RawHeaders) -> dict[str, object]:
        decoded.append(raw)
        return {}

    monkeypatch.setattr(module, "decode_headers", decode)
    message = Message(b"", raw_headers=[("a", b"1")])
    assert decoded == []
    assert message.headers is message.headers
    assert decoded == [[("a", b"1")]]


def test_headers_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        Message(b"").headers["a"] = 1  # type: ignore[index]


def test_it_takes_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Message(b"").colour = "red"  # type: ignore[attr-defined]


def test_it_is_shown_without_its_payload_and_headers() -> None:
    message = Message(
        b"secret", b"7", raw_headers=[("h", b"secret")], destination="lectures", partition=0, offset=3
    )
    assert repr(message) == "<Message lectures[0]@3 key=b'7' 6 bytes>"
    assert repr(Message(None)) == "<Message None[None]@None key=None null>"


ORIGINS = st.sampled_from(
    [b"1/s/1/d/7", b'"1/s/2/d/8"', b'"1\\/s/1/d/9"', b"1/s/1/d/0", b"1/\xff/1/d/7", b"2/s/1/d/7"]
)
VALUES = st.one_of(st.none(), ORIGINS, st.binary(max_size=4))


@given(st.lists(st.tuples(st.sampled_from(["sb-origin", "other"]), VALUES), max_size=4))
def test_the_number_is_the_origins(headers: RawHeaders) -> None:
    origin, number = origin_of(headers), number_of(headers)
    assert number == (None if origin is None else (origin[:3], origin.seq))


@pytest.mark.parametrize(
    ("values", "seq"),
    [
        ([b"1/s/1/d/7"], 7),
        ([b'"1/s/1/d/7"'], 7),
        ([b"1/s/1/d/7", b"1/s/1/d/8"], 8),
        ([b"1/s/1/d/7", None], 7),
        ([b"1/s/1/d/7", b"none"], None),
        ([None], None),
        ([b"1/\xff/1/d/7"], None),
        ([], None),
    ],
)
def test_the_last_origin_that_has_a_value_counts(values: list[bytes | None], seq: int | None) -> None:
    number = number_of([("other", b"x"), *(("sb-origin", value) for value in values)])
    assert number == (None if seq is None else (("s", 1, "d"), seq))
