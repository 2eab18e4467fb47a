"""Dead letters: a message that could not be handled, with Spring Cloud Stream's headers saying why (pure)."""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterator
from textwrap import indent
from typing import Protocol, TypeGuard

from sqlalchemy.exc import StatementError

from streambind.errors import ConversionError, DestinationError, PermanentError, SendError, StreambindError
from streambind.inbound.retry import qualified_name
from streambind.message import Batch, Message
from streambind.persistence.failures import message_of
from streambind.visible import visible

ORIGINAL_TOPIC = "x-original-topic"
ORIGINAL_PARTITION = "x-original-partition"
ORIGINAL_OFFSET = "x-original-offset"
ORIGINAL_TIMESTAMP = "x-original-timestamp"
ORIGINAL_TIMESTAMP_TYPE = "x-original-timestamp-type"
EXCEPTION_FQCN = "x-exception-fqcn"
EXCEPTION_MESSAGE = "x-exception-message"
EXCEPTION_STACKTRACE = "x-exception-stacktrace"

MAX_NAME_BYTES = 256
MAX_MESSAGE_BYTES = 1024
MAX_STACKTRACE_BYTES = 8 * 1024
_CHAIN = 10
_LEFT_OUT_AFTER = {EXCEPTION_STACKTRACE: 1, EXCEPTION_MESSAGE: 1, EXCEPTION_FQCN: 3}
"""How many headers to leave out next, by the last one that is there."""


class DeadLetters(Protocol):
    """Given by the application to bindings that have a dead-letter destination."""

    def send(self, message: Message) -> None:
        """Return when the broker has confirmed the message. `destination` and `partition` name where it came
        from; the sender picks where it goes.

        Raises:
            SendError: it was not confirmed; it may be sent again.
        """
        ...


def original(batch: Batch, index: int) -> Message:
    """The message as it came; without headers where they cannot be read."""
    try:
        return batch.message(index)
    except PermanentError:
        return Message(
            batch.payload(index),
            batch.key(index),
            destination=batch.destination,
            partition=batch.partition,
            offset=batch.offset(index),
            timestamp_ms=batch.timestamp_ms(index),
        )


def dead_letter(message: Message, error: BaseException) -> Message:
    """The message as it came, key, payload and headers untouched, with Spring's eight headers appended.

    Without row data, as far as `message_of` knows it.
    """
    timestamp = message.timestamp_ms
    why = [
        (ORIGINAL_TOPIC, (message.destination or "").encode()),
        (ORIGINAL_PARTITION, struct.pack(">i", message.partition if message.partition is not None else -1)),
        (ORIGINAL_OFFSET, struct.pack(">q", message.offset if message.offset is not None else -1)),
        (ORIGINAL_TIMESTAMP, struct.pack(">q", -1 if timestamp is None else timestamp)),
        (ORIGINAL_TIMESTAMP_TYPE, b"NoTimestampType" if timestamp is None else b"CreateTime"),
        (EXCEPTION_FQCN, _bounded(qualified_name(type(error)), MAX_NAME_BYTES)),
        (EXCEPTION_MESSAGE, _bounded(_message(error), MAX_MESSAGE_BYTES)),
        (EXCEPTION_STACKTRACE, _bounded_middle(stack_trace(error), MAX_STACKTRACE_BYTES)),
    ]
    return Message(
        message.payload,
        message.key,
        raw_headers=[*message.raw_headers, *why],
        destination=message.destination,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=timestamp,
    )


def lighter(letter: Message) -> Message | None:
    """The same dead letter in fewer bytes, for a broker that finds it too large: without the stack trace, then
    without the exception's message, then with no more than where it came from. None if nothing is left to leave
    out: what came with the message stays."""
    headers = list(letter.raw_headers)
    leave_out = _LEFT_OUT_AFTER.get(headers[-1][0] if headers else "")
    if leave_out is None:
        return None
    return Message(
        letter.payload,
        letter.key,
        raw_headers=headers[:-leave_out],
        destination=letter.destination,
        partition=letter.partition,
        offset=letter.offset,
        timestamp_ms=letter.timestamp_ms,
    )


def is_refusal(error: StreambindError) -> TypeGuard[SendError]:
    """Whether the letter itself is refused, for good; a destination that takes nothing may be mended."""
    return isinstance(error, SendError) and error.permanent and not isinstance(error.__cause__, DestinationError)


def stack_trace(error: BaseException) -> str:
    """A traceback in Python's form, the cause first, without row data."""
    parts = []
    for link, caused in _chain(error):
        lines = "".join(traceback.format_tb(link.__traceback__))
        header = "Traceback (most recent call last):\n" if lines else ""
        parts.append(f"{header}{lines}{qualified_name(type(link))}: {_message(link)}\n{caused}")
    return "\n".join(reversed(parts))


def logged_trace(error: BaseException) -> str:
    """The traceback on lines of its own, for the log; none for a payload that does not fit: no code erred.

    What it quotes may be anyone's words: it is bounded, steers no terminal, and its lines are indented, so that
    none looks like a record of the log."""
    if isinstance(error, ConversionError):
        return ""
    trace = _bounded_middle(stack_trace(error), MAX_STACKTRACE_BYTES).decode(errors="ignore")
    return "\n" + indent(visible(trace, lines=True), "  ")


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


def _message(error: BaseException) -> str:
    try:
        return message_of(error)
    except Exception:  # noqa: BLE001 -- a dead letter must not fail for an exception's __str__.
        return ""


def _bounded(text: str, limit: int) -> bytes:
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data
    return data[: limit - 3].decode(errors="ignore").encode() + b"..."


def _bounded_middle(text: str, limit: int) -> bytes:
    """The head and the tail: both the first call and the error stand at the ends."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data
    half = (limit - 9) // 2
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n  ...\n{tail}".encode()
