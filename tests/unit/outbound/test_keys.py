"""A key's bytes, and its shard."""

from __future__ import annotations

from datetime import date
from enum import Enum
from uuid import UUID
from zlib import crc32

import pytest

from streambind.errors import CaptureError
from streambind.outbound.keys import key_bytes, primary_key_bytes, shard_of
from streambind.persistence.tables import MAX_KEY_BYTES, SHARDS


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, None),
        (2, b"2"),
        (-7, b"-7"),
        (True, b"true"),
        ("최종", "최종".encode()),
        ('say "x"', b'say "x"'),
        (b"\x00\xff", b"\x00\xff"),
        (UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
        (date(2022, 8, 8), b"2022-08-08"),
        (Colour.RED, b"red"),
        (1.5, b"1.5"),
        (("r", 1), b'["r",1]'),
        ([1, UUID(int=1)], b'[1,"00000000-0000-0000-0000-000000000001"]'),
    ],
    ids=repr,
)
def test_keys_are_text(key: object, expected: bytes | None) -> None:
    assert key_bytes(key) == expected


def test_a_primary_key_is_its_text_and_a_composite_one_an_array() -> None:
    assert primary_key_bytes([2]) == b"2"
    assert primary_key_bytes([2, "a"]) == b'[2,"a"]'


def test_a_key_that_is_too_long_says_how_long() -> None:
    assert key_bytes("x" * MAX_KEY_BYTES) is not None
    with pytest.raises(CaptureError, match=r"513 bytes.*512"):
        key_bytes("x" * (MAX_KEY_BYTES + 1))


def test_what_has_no_text_is_no_key() -> None:
    with pytest.raises(CaptureError, match="a object cannot be a key"):
        key_bytes(object())


def test_the_shard_follows_the_key() -> None:
    assert shard_of(b"2") == crc32(b"2") % SHARDS
    assert shard_of(None) == 0
