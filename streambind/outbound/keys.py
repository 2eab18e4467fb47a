"""A record's key: the bytes that decide its partition and its order (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from pydantic_core import PydanticSerializationError, to_json

from streambind.errors import CaptureError
from streambind.persistence.tables import MAX_KEY_BYTES, SHARDS


def key_bytes(key: object) -> bytes | None:
    """A key as it travels: text as it is, numbers as their digits, several values as a compact JSON array,
    anything else as its JSON form without quotes. None means no key: no order, and any partition.

    Raises:
        CaptureError: the value has no JSON form, or the key is longer than 512 bytes.
    """
    match key:
        case None:
            return None
        case bool():
            encoded = b"true" if key else b"false"
        case int():
            encoded = b"%d" % key
        case bytes():
            encoded = key
        case str():
            encoded = key.encode()
        case _:
            encoded = _json(key)
    if len(encoded) > MAX_KEY_BYTES:
        raise CaptureError(
            f"a key of {len(encoded)} bytes ({encoded[:40]!r}...) is longer than {MAX_KEY_BYTES}: "
            "choose a shorter one, with @publishes(key=...) or publish(key=...)"
        )
    return encoded


def primary_key_bytes(values: Sequence[Any]) -> bytes | None:
    """The default key: the primary key's text, a composite one as a compact JSON array."""
    return key_bytes(values[0] if len(values) == 1 else tuple(values))


def shard_of(key: bytes | None) -> int:
    """The outbox's shard for a key; messages without a key share the first one."""
    return 0 if key is None else crc32(key) % SHARDS


def _json(key: object) -> bytes:
    try:
        text = to_json(key)
    except (PydanticSerializationError, ValueError) as error:
        raise CaptureError(
            f"a {type(key).__name__} cannot be a key: give text, bytes, a number or a tuple of them"
        ) from error
    return text[1:-1] if text[:1] == b'"' else text
