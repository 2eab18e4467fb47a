"""The key of a tombstone leads to the row that the publisher meant."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from streambind.errors import PermanentError
from streambind.inbound.replica_key import key_reader
from streambind.outbound.keys import primary_key_bytes


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


KINDS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63),
    str: st.text(max_size=40),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    uuid.UUID: st.uuids(),
    date: st.dates(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**9, min_value=-(10**9)),
    Colour: st.just(Colour.RED),
    Level: st.just(Level.LOW),
}


@st.composite
def keys(draw: st.DrawFn, size: st.SearchStrategy[int]) -> tuple[list[type], list[Any]]:
    # As part of an array, bytes would have to be UTF-8.
    many = draw(size)
    types = draw(
        st.lists(st.sampled_from([k for k in KINDS if many == 1 or k is not bytes]), min_size=many, max_size=many)
    )
    return types, [draw(KINDS[kind]) for kind in types]


def reader(types: list[type]) -> Any:
    fields: dict[str, Any] = {f"f{number}": (kind, ...) for number, kind in enumerate(types)}
    return key_reader(create_model("Event", **fields), list(fields))


@given(keys(st.integers(1, 3)))
def test_what_a_publisher_writes_is_read_back(key: tuple[list[type], list[Any]]) -> None:
    types, values = key
    written = primary_key_bytes(values)
    assert reader(types)(written) == tuple(values)


@pytest.mark.parametrize(
    ("types", "key"),
    [
        ([int], b"seven"),
        ([int], b""),
        ([int], None),
        ([str], b"\xff"),
        ([uuid.UUID], b"7"),
        ([int, str], b"7"),
        ([int, str], b"[7]"),
        ([int, str], b'[7,"a",1]'),
        ([int, str], b"\xff"),
    ],
)
def test_a_key_of_another_kind_is_refused_for_good(types: list[type], key: bytes | None) -> None:
    with pytest.raises(PermanentError):
        reader(types)(key)


def test_a_computed_key_is_not_known_without_a_payload() -> None:
    with pytest.raises(PermanentError, match="computed"):
        key_reader(create_model("Event"), [lambda event: 7])(b"7")


def test_a_refusal_shows_no_values() -> None:
    with pytest.raises(PermanentError) as raised:
        reader([int])(b"secret")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
