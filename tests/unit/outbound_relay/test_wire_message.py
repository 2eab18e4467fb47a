"""A row and what it looks like when it travels."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.headers import TYPES, encode_headers
from streambind.message import COMMITTED, EVENT_ID, ORIGIN
from streambind.origin import Origin
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.wire_message import RowMessages, Source, check_row, direct_message, row_message
from streambind.persistence.stored_headers import load_headers, store_headers
from tests.unit.outbound_relay.rows import row

SOURCE = Source("0b5e9f0e-0000-4000-8000-000000000001", 3)
WRITTEN = tuple(encode_headers({"type": "LectureCategoryChanged", "contentType": "application/json"}))


def test_a_numbered_row_carries_id_and_origin_before_the_type_map() -> None:
    stored = row(b"7", 12, headers=store_headers(WRITTEN), payload=b'{"categoryId":7}')._replace(created_ms=5)

    message = row_message(stored, SOURCE)

    assert [name for name, _ in message.raw_headers] == ["type", "contentType", EVENT_ID, COMMITTED, ORIGIN, TYPES]
    assert message.headers[EVENT_ID] == str(stored.event_id)
    assert message.headers[COMMITTED] == "5"
    assert Origin.parse(str(message.headers[ORIGIN])) == Origin(SOURCE.source_id, 3, "lectures", 12)
    assert message.headers["type"] == "LectureCategoryChanged"
    assert (message.key, message.payload, message.destination) == (b"7", b'{"categoryId":7}', "lectures")


def test_a_row_without_key_or_number_has_no_origin() -> None:
    for stored in (row(None, None), row(b"7", None)):
        assert [name for name, _ in row_message(stored, SOURCE).raw_headers] == [EVENT_ID]


def test_a_tombstone_stays_null() -> None:
    assert row_message(row(payload=None), SOURCE).payload is None


def test_the_id_that_a_row_brings_along_from_elsewhere_does_not_count() -> None:
    """A dead letter keeps the headers of the message it was."""
    copied = row(b"7", 1, headers=store_headers([(EVENT_ID, b"old"), (ORIGIN, b"1/x/1/y/9")]))

    headers = row_message(copied, SOURCE).headers

    assert headers[EVENT_ID] == str(copied.event_id)
    assert headers[ORIGIN] == str(Origin(SOURCE.source_id, 3, "lectures", 1))


def test_an_id_that_the_database_has_written_out_travels_as_it_is() -> None:
    stored = row(b"7", 1)
    text = str(UUID(int=stored.id))
    written = stored._replace(event_id=text.encode())

    check_row(written)
    assert row_message(written, SOURCE).raw_headers == row_message(stored, SOURCE).raw_headers
    assert written.shown == stored.shown == f"event {text}"
    assert stored._replace(event_id=None).shown == "a dead letter"


@pytest.mark.parametrize(
    "broken",
    [{"headers": "{"}, {"headers": "7"}, {"event_id": "no id"}, {"seq": "one"}, {"created_ms": 1.5}],
    ids=lambda broken: str(next(iter(broken))),
)
def test_what_passes_the_check_can_be_read_and_what_does_not_cannot(broken: dict[str, Any]) -> None:
    sound = row(b"7", 1)._replace(created_ms=5)
    unsound = sound._replace(**broken)

    check_row(sound)
    for read in (check_row, lambda one: row_message(one, SOURCE)):
        with pytest.raises((AttributeError, TypeError, ValueError)):
            read(unsound)


def test_a_dead_letter_that_cannot_be_read_does_not_pass_the_check() -> None:
    letter = row(b"7", None)._replace(event_id=None)

    check_row(letter)
    with pytest.raises(ValueError, match="Expecting"):
        check_row(letter._replace(headers="{"))


def test_the_messages_of_rows_are_theirs_in_order() -> None:
    rows = [row(b"%d" % number, number) for number in (1, 2, 3)]

    messages = RowMessages(rows, SOURCE)

    assert len(messages) == 3
    assert [message.key for message in messages] == [b"1", b"2", b"3"]
    assert messages[-1].raw_headers == row_message(rows[2], SOURCE).raw_headers
    assert [message.key for message in messages[1:]] == [b"2", b"3"]


def test_a_direct_message_has_an_id_and_no_origin() -> None:
    message = direct_message(Outgoing("out-lecture", "lectures", b"7", b"{}", WRITTEN, str(UUID(int=5))))

    assert [name for name, _ in message.raw_headers] == ["type", "contentType", EVENT_ID, COMMITTED, TYPES]
    assert message.headers[EVENT_ID] == str(UUID(int=5))
    assert str(message.headers[COMMITTED]).isdigit()
    assert (message.key, message.payload, message.destination) == (b"7", b"{}", "lectures")


@given(st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=50)), max_size=8))
def test_stored_headers_come_back_as_they_were_in_ascii(headers: list[tuple[str, bytes | None]]) -> None:
    try:
        for name, _ in headers:
            name.encode()
    except UnicodeEncodeError:
        return
    text = store_headers(headers)

    assert load_headers(text) == headers
    assert text.isascii()
    assert "\0" not in text
