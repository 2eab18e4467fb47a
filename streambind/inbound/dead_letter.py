"""Dead letters: a message that could not be handled, with headers of Spring's saying why (pure)."""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol, TypeGuard

from sqlalchemy import Connection

from streambind.configuration.properties import DeadLetterFormat
from streambind.errors import DestinationError, PermanentError, SendError, StreambindError
from streambind.headers import header_text
from streambind.inbound import letter_headers as names
from streambind.message import EVENT_ID, Batch, Message, origin_of
from streambind.persistence.stack_trace import (
    MAX_STACKTRACE_BYTES,
    bounded,
    bounded_middle,
    message_text,
    qualified_name,
    stack_trace,
)

MAX_NAME_BYTES = 256
MAX_MESSAGE_BYTES = 1024

Added = list[tuple[str, bytes | None]]

_LEFT_OUT = (
    frozenset({names.X_STACKTRACE, names.DLT_STACKTRACE}),
    frozenset({names.X_MESSAGE, names.DLT_MESSAGE}),
    frozenset(
        {names.X_FQCN, names.DLT_FQCN, names.DLT_CAUSE}
        | {names.X_TIMESTAMP, names.X_TIMESTAMP_TYPE, names.DLT_TIMESTAMP, names.DLT_TIMESTAMP_TYPE}
        | {names.FIRST_FAILURE, names.LETTER_EVENT_ID, names.LETTER_SEQ}
    ),
)
"""What is left out of a letter that is too large, step by step."""


class Failure(NamedTuple):
    """Why a message becomes a dead letter. `first_ms` is this instance's clock at the first failure, for
    people."""

    error: BaseException
    attempts: int
    first_ms: int


class DeadLetters(Protocol):
    """Given by the application to bindings that have a dead-letter destination. `destination` and `partition` of
    a letter name where its message came from; it picks where the letter goes."""

    @property
    def format(self) -> DeadLetterFormat: ...
    @property
    def group(self) -> str: ...

    def send(self, letter: Message) -> None:
        """Return when the broker has confirmed the letter: for effects without a database.

        Raises:
            SendError: it was not confirmed; it may be sent again.
        """
        ...

    def write(self, connection: Connection, letter: Message) -> None:
        """Put the letter into the outbox, in the transaction that is open on `connection`."""
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


def dead_letter(message: Message, failure: Failure, *, form: DeadLetterFormat, group: str) -> Message:
    """The message as it came, key, payload and headers untouched, with streambind's facts and then the format's
    headers appended. Without row data, as far as `message_of` knows it."""
    match form:
        case DeadLetterFormat.SPRING_CLOUD_STREAM:
            why = _original(message, "x-original-") + _exception(failure.error, "x-exception-", cause=False)
        case DeadLetterFormat.SPRING_KAFKA:
            why = _exception(failure.error, "kafka_dlt-exception-", cause=True)
            why += _original(message, "kafka_dlt-original-")
            why.append((names.DLT_GROUP, group.encode()))
        case DeadLetterFormat.SPRING_KAFKA_2:
            why = _original(message, "kafka_dlt-original-")
            why += _exception(failure.error, "kafka_dlt-exception-", cause=False)
    return _with_headers(message, [*message.raw_headers, *_facts(message, failure, group), *why])


def lighter(letter: Message) -> Message | None:
    """The same dead letter in fewer bytes, for a broker that finds it too large: without the stack trace, then
    without the exception's message, then with no more than where it came from. None if nothing is left to leave
    out, or if it is no dead letter of ours: what came with the message stays."""
    headers = list(letter.raw_headers)
    start = max((i for i, (name, _) in enumerate(headers) if name == names.ATTEMPTS), default=len(headers))
    added = headers[start:]
    for leave_out in _LEFT_OUT:
        kept = [(name, value) for name, value in added if name not in leave_out]
        if len(kept) < len(added):
            return _with_headers(letter, headers[:start] + kept)
    return None


def is_refusal(error: StreambindError) -> TypeGuard[SendError]:
    """Whether the letter itself is refused, for good; a destination that takes nothing may be mended."""
    return isinstance(error, SendError) and error.permanent and not isinstance(error.__cause__, DestinationError)


def _facts(message: Message, failure: Failure, group: str) -> Added:
    facts: Added = [
        (names.ATTEMPTS, b"%d" % failure.attempts),
        (names.FIRST_FAILURE, b"%d" % failure.first_ms),
        (names.GROUP, group.encode()),
    ]
    event_id = header_text(message.raw_headers, EVENT_ID)
    origin = origin_of(message.raw_headers)
    if event_id is not None:
        facts.append((names.LETTER_EVENT_ID, bounded(event_id, MAX_NAME_BYTES)))
    if origin is not None and origin.destination == message.destination:
        facts.append((names.LETTER_SEQ, b"%d" % origin.seq))
    return facts


def _original(message: Message, prefix: str) -> Added:
    timestamp = message.timestamp_ms
    return [
        (f"{prefix}topic", (message.destination or "").encode()),
        (f"{prefix}partition", struct.pack(">i", message.partition if message.partition is not None else -1)),
        (f"{prefix}offset", struct.pack(">q", message.offset if message.offset is not None else -1)),
        (f"{prefix}timestamp", struct.pack(">q", -1 if timestamp is None else timestamp)),
        (f"{prefix}timestamp-type", b"NoTimestampType" if timestamp is None else b"CreateTime"),
    ]


def _exception(error: BaseException, prefix: str, *, cause: bool) -> Added:
    added: Added = [(f"{prefix}fqcn", _name(error))]
    if cause:
        added.append((f"{prefix}cause-fqcn", _name(error.__cause__ or error)))
    added.append((f"{prefix}message", bounded(message_text(error), MAX_MESSAGE_BYTES)))
    added.append((f"{prefix}stacktrace", bounded_middle(stack_trace(error), MAX_STACKTRACE_BYTES)))
    return added


def _name(error: BaseException) -> bytes:
    return bounded(qualified_name(type(error)), MAX_NAME_BYTES)


def _with_headers(message: Message, headers: Added) -> Message:
    return Message(
        message.payload,
        message.key,
        raw_headers=headers,
        destination=message.destination,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=message.timestamp_ms,
    )
