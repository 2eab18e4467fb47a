"""Exported messages come back byte for byte; anything else is told by its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.cli.dlq_desk import Desk, Item
from streambind.cli.dlq_lines import document, letter_of
from streambind.cli.plan import PlannedBinding
from streambind.errors import ConfigurationError
from streambind.inbound.letter import read_letter
from streambind.inbound.replay import place_of
from streambind.message import Message
from streambind.visible import visible_json

PLANNED = PlannedBinding("in-a", "in", ("a",), "g", "application/json", "kafka", "on error dlq", None, None)
DESK = Desk(PLANNED, None, None, None)
NAMES = st.text(st.characters(codec="utf-8"), max_size=5)


@given(
    st.one_of(st.none(), st.binary(max_size=20)),
    st.one_of(st.none(), st.binary(max_size=8)),
    st.lists(st.tuples(NAMES, st.one_of(st.none(), st.binary(max_size=8))), max_size=4),
    st.integers(0, 2**62),
)
def test_what_is_exported_is_imported(
    payload: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]], offset: int
) -> None:
    stands = Message(None, destination="error.a/b.g", partition=3, offset=offset, timestamp_ms=5)
    came = Message(payload, key, raw_headers=headers, destination="a", partition=1, offset=2, timestamp_ms=None)
    read = read_letter(stands)
    item = Item(f"error.a/b.g/3/{offset}", "open", came, "E", "text", 5, 1, letter=read)

    letter = letter_of(visible_json(document(DESK, item)), 1)

    found = letter.message
    assert (found.payload, found.key, list(found.raw_headers)) == (payload, key, headers)
    assert (found.destination, found.partition, found.offset, found.timestamp_ms) == ("a", 1, 2, None)
    assert place_of(letter) == place_of(read)
    assert (letter.group, letter.cause.name) == ("g", "E")


JSON: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
FIELDS = (
    *("id", "stands_ms", "payload", "key", "headers", "destination", "partition", "offset"),
    *("timestamp_ms", "error", "text", "group"),
)


@given(st.one_of(JSON, st.fixed_dictionaries(dict.fromkeys(FIELDS, JSON))))
def test_any_other_line_is_a_mistake_of_the_file(value: Any) -> None:
    try:
        letter = letter_of(json.dumps(value), 7)
    except ConfigurationError as error:
        assert "line 7 is no line of" in str(error)  # noqa: PT017
    else:
        assert isinstance(letter.message.destination, str)


@pytest.mark.parametrize("line", ["{", "[]", "nothing", '{"id": "a/1"}', "[" * 100_000])
def test_what_is_no_json_of_an_export_is_told(line: str) -> None:
    with pytest.raises(ConfigurationError, match="line 3 is no line"):
        letter_of(line, 3)


def exported(**changed: object) -> str:
    """A line of an export, with other values in some fields."""
    read = read_letter(Message(None, destination="error.a.g", partition=3, offset=4, timestamp_ms=5))
    came = Message(b"{}", b"k", destination="a", partition=1, offset=2)
    item = Item("error.a.g/3/4", "open", came, "E", "text", 5, 1, letter=read)
    return json.dumps({**json.loads(visible_json(document(DESK, item))), **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"partition": 2**31},
        {"offset": 2**63},
        {"timestamp_ms": 2**70},
        {"destination": "a\0b"},
        {"destination": "a" * 250},
        {"id": "error.a.g/9999999999/4"},
        {"id": f"error.a.g/3/{2**63}"},
        {"id": f"{'a' * 250}/3/4"},
        {"id": "parked/-1"},
    ],
    ids=str,
)
def test_a_line_that_no_table_could_hold_is_refused_by_its_number(changed: dict[str, object]) -> None:
    assert letter_of(exported(), 7).message.offset == 2
    with pytest.raises(ConfigurationError, match="line 7 is no line of"):
        letter_of(exported(**changed), 7)
