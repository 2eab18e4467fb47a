"""What a message is in the outbox, on every database."""

from __future__ import annotations

from functools import lru_cache

from streambind.outbound.outgoing import Headers, Outgoing
from streambind.persistence.stored_headers import store_headers


def is_numbered(message: Outgoing) -> bool:
    """Whether it gets a number: it has a key, and is an event of this service."""
    return message.key is not None and message.event_id is not None


def header_text(message: Outgoing) -> str:
    """The text of its headers. Those of dead letters, which are long and each its own, are not remembered."""
    return store_headers(message.headers) if message.event_id is None else _remembered(message.headers)


@lru_cache(maxsize=1024)
def _remembered(headers: Headers) -> str:
    """The messages of one event class mostly have the same headers."""
    return store_headers(headers)
