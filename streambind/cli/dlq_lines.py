"""Failed messages as JSON lines, for files and back: bytes as text where they are UTF-8, else as base64 (pure)."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from streambind.cli.dlq_desk import Desk, Item
from streambind.errors import ConfigurationError
from streambind.inbound.letter import MAX_PARTITION, Cause, Letter
from streambind.message import Message

_MAX_NAME_LENGTH = 249
"""Of a destination."""


def document(desk: Desk, item: Item) -> dict[str, Any]:
    """All that is known of an item."""
    came = item.message
    stands = item.letter.stands if item.letter is not None else None
    return {
        "id": item.id,
        "binding": desk.name,
        "group": desk.planned.group,
        "state": item.state,
        "error": item.error,
        "text": item.text,
        "attempts": item.attempts,
        "behind": item.behind,
        "failed_ms": item.failed_ms,
        "destination": came.destination,
        "partition": came.partition,
        "offset": came.offset,
        "timestamp_ms": came.timestamp_ms,
        "key": _kept(came.key),
        "headers": [[name, _kept(value)] for name, value in came.raw_headers],
        "payload": _kept(came.payload),
        "stack_trace": item.letter.cause.stack_trace if item.letter is not None else None,
        "stands_ms": stands.timestamp_ms if stands is not None else None,
    }


def letter_of(line: str, number: int) -> Letter:
    """The letter that a line of an export describes. It stands where the exported one did: one that was replayed
    from there is known.

    Raises:
        ConfigurationError: the line is none of an export.
    """
    try:
        found = json.loads(line)
        store, partition, offset = _place(found["id"])
        stands = Message(
            None,
            destination=store,
            partition=partition,
            offset=offset,
            timestamp_ms=_number(found["stands_ms"]) or 0,
        )
        message = Message(
            _bytes(found["payload"]),
            _bytes(found["key"]),
            raw_headers=[(str(name), _bytes(value)) for name, value in found["headers"]],
            destination=_name(str(found["destination"])),
            partition=_number(found["partition"], MAX_PARTITION),
            offset=_number(found["offset"]),
            timestamp_ms=_number(found["timestamp_ms"]),
        )
        cause = Cause(str(found["error"]), str(found["text"]), "")
        group = None if found["group"] is None else str(found["group"])
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise ConfigurationError(
            f"line {number} is no line of `streambind dlq export` ({type(error).__name__}: {error}); "
            "nothing of it was imported"
        ) from error
    return Letter(message, stands, cause, None, group, None, None)


def _place(identity: str) -> tuple[str, int, int]:
    if identity.startswith("parked/"):
        return "parked", 0, _number(int(identity.removeprefix("parked/"))) or 0
    store, partition, offset = identity.rsplit("/", 2)
    return _name(store), _number(int(partition), MAX_PARTITION) or 0, _number(int(offset)) or 0


def _name(text: str) -> str:
    if len(text) > _MAX_NAME_LENGTH or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is no name of a destination")
    return text


def _number(value: object, most: int = 2**63 - 1) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no number of a place or a time")
    return value


def _kept(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, dict):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"no base64: {error}") from error
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is neither text nor base64")
    return value.encode()
