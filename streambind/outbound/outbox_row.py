"""What a message is in the outbox, on every database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from streambind.outbound.keys import shard_of
from streambind.outbound.outgoing import Headers, Outgoing
from streambind.persistence.stored_headers import store_headers


def _is_numbered(message: Outgoing) -> bool:
    """Whether it gets a number: it has a key, and is an event of this service."""
    return message.key is not None and message.event_id is not None


def places(messages: Sequence[Outgoing]) -> tuple[list[int | None], list[int | None]]:
    """Of each message, how many of the same key come later among these; and, at the last one of a key, how many
    there are. Both None without a number."""
    keys = [(m.destination, m.key) if _is_numbered(m) else None for m in messages]
    counts = Counter(key for key in keys if key is not None)
    if len(counts) == len(messages):
        return [0] * len(messages), [1] * len(messages)
    left = dict(counts)
    later: list[int | None] = []
    count: list[int | None] = []
    for key in keys:
        rest = None
        if key is not None:
            left[key] = rest = left[key] - 1
        later.append(rest)
        count.append(counts[key] if key is not None and rest == 0 else None)
    return later, count


def values_of(message: Outgoing) -> dict[str, Any]:
    """The columns of its row but for its number and the time; the event's id is text. A new dictionary."""
    return {
        "shard": shard_of(message.key),
        "binding": message.binding,
        "destination": message.destination,
        "key": message.key,
        "event_id": message.event_id,
        "payload": message.payload,
        "headers": header_text(message),
        "partition": message.partition,
    }


def header_text(message: Outgoing) -> str:
    """The text of its headers. Those of dead letters, which are long and each its own, are not remembered."""
    return store_headers(message.headers) if message.event_id is None else _remembered(message.headers)


@lru_cache(maxsize=1024)
def _remembered(headers: Headers) -> str:
    """The messages of one event class mostly have the same headers."""
    return store_headers(headers)
