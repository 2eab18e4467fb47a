"""What an exception says of itself in a header: bounded, and without row data (pure)."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from textwrap import indent

from sqlalchemy.exc import StatementError

from streambind.errors import ConversionError
from streambind.persistence.failures import message_of
from streambind.visible import visible

MAX_STACKTRACE_BYTES = 8 * 1024

_CHAIN = 10


def stack_trace(error: BaseException) -> str:
    """A traceback in Python's form, the cause first, without row data."""
    parts = []
    for link, caused in _chain(error):
        lines = "".join(traceback.format_tb(link.__traceback__))
        header = "Traceback (most recent call last):\n" if lines else ""
        parts.append(f"{header}{lines}{qualified_name(type(link))}: {message_text(link)}\n{caused}")
    return "\n".join(reversed(parts))


def logged_trace(error: BaseException) -> str:
    """The traceback on lines of its own, for the log; none for a payload that does not fit: no code erred.

    What it quotes may be anyone's words: it is bounded, steers no terminal, and its lines are indented, so that
    none looks like a record of the log."""
    if isinstance(error, ConversionError):
        return ""
    trace = bounded_middle(stack_trace(error), MAX_STACKTRACE_BYTES).decode(errors="ignore")
    return "\n" + indent(visible(trace, lines=True), "  ")


def qualified_name(kind: type) -> str:
    """A class as Python's tracebacks name it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message_text(error: BaseException) -> str:
    """The exception's message as far as `message_of` lets it through; empty if it cannot be told."""
    try:
        return message_of(error)
    except Exception:  # noqa: BLE001 -- a dead letter must not fail for an exception's __str__.
        return ""


def bounded(text: str, limit: int) -> bytes:
    """The head, at most `limit` bytes of UTF-8."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data
    return data[: limit - 3].decode(errors="ignore").encode() + b"..."


def bounded_middle(text: str, limit: int) -> bytes:
    """The head and the tail: both the first call and the error stand at the ends."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data
    half = (limit - 9) // 2
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n  ...\n{tail}".encode()


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """The error, what it came from and so on, each with the line that leads over to the one before."""
    seen: set[int] = set()
    current: BaseException | None = error
    leads = ""
    while current is not None and id(current) not in seen and len(seen) < _CHAIN:
        seen.add(id(current))
        yield current, leads
        if isinstance(current, StatementError):
            return  # What follows is the driver's error, whose text holds row data.
        if current.__cause__ is not None:
            current, leads = current.__cause__, "\nThe above exception was the cause of the following:\n"
        else:
            hidden = current.__suppress_context__
            current = None if hidden else current.__context__
            leads = "\nDuring handling of the above exception, another one occurred:\n"
