"""How far behind the source's commits something is, by the time in the `sb-committed` header (pure).

The time is the source's: its database's clock when the event was written to the outbox; the process's for what
goes around the outbox. Whoever holds it against a clock of its own shows the difference of both clocks too: a
number for people, by which nothing may be decided.
"""

from __future__ import annotations

from streambind.headers import header_text
from streambind.message import COMMITTED, RawHeaders

_MAX_DIGITS = 14
_AHEAD_MS = 60_000
"""How far in the future a time may lie before it says nothing but that two clocks differ."""


def committed_ms(headers: RawHeaders) -> int | None:
    """When the message was committed, in milliseconds since the epoch; None if it does not say so."""
    text = header_text(headers, COMMITTED)
    # Anyone can write this header.
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        return None
    return int(text)


def behind_s(since_ms: int | None, now_ms: int) -> float | None:
    """For how many seconds what was committed at `since_ms` is not there yet; None: unknown."""
    if since_ms is None or since_ms > now_ms + _AHEAD_MS:
        return None
    return max(0, now_ms - since_ms) / 1000
