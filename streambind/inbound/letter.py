"""A dead letter as it is read: whoever wrote it, what failed, where it came from and why (pure)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from streambind.configuration.properties import DeadLetterFormat
from streambind.inbound import letter_headers as names
from streambind.message import Message, RawHeaders

MAX_PARTITION = 2**31 - 1
"""As Kafka has it, and as our tables keep it."""

_CAUSED_BY = re.compile(r"^Caused by: ([\w.$]+)(?:: (.*))?$", re.MULTILINE)
_NESTED = re.compile(r"; nested exception is ([\w.$]+)(?:: ?)?")


@dataclass(frozen=True, slots=True)
class Cause:
    """What was raised. `name` is the exception's class, of a chain of Java's the innermost; `text` its message."""

    name: str | None
    text: str
    stack_trace: str


@dataclass(frozen=True, slots=True)
class Letter:
    """`message` is the message that failed, as it was: without the headers that the letter added, and at the
    place that it had, as far as the letter tells it. `stands` is the letter's own record. `format` None: nothing
    in the record says that it is a dead letter."""

    message: Message
    stands: Message
    cause: Cause
    format: DeadLetterFormat | None
    group: str | None
    attempts: int | None
    first_failure_ms: int | None

    @property
    def failed_ms(self) -> int | None:
        """When it became a dead letter."""
        return self.stands.timestamp_ms

    def to_be_kept(self) -> Letter:
        """The letter without what only people read, its own record and the stack trace: of many that are kept
        these would take most of the memory."""
        stands = self.stands
        place = Message(
            None,
            destination=stands.destination,
            partition=stands.partition,
            offset=stands.offset,
            timestamp_ms=stands.timestamp_ms,
        )
        return replace(self, stands=place, cause=replace(self.cause, stack_trace=""))


def read_letter(record: Message) -> Letter:
    """The letter that a record of a dead-letter destination is. Never raises, whatever its bytes: what cannot be
    read is None."""
    headers = record.raw_headers
    start = _ours(headers)
    added = _last(headers if start is None else headers[start:])
    form = _format(added)
    prefix = _original_prefix(form, added)
    timestamp = _number(added.get(f"{prefix}timestamp"))
    message = Message(
        record.payload,
        record.key,
        raw_headers=_without(headers, form) if start is None else list(headers[:start]),
        destination=_text(added.get(f"{prefix}topic")) or None,
        partition=_partition(added.get(f"{prefix}partition")),
        offset=_number(added.get(f"{prefix}offset")),
        timestamp_ms=timestamp,
    )
    return Letter(
        message=message,
        stands=record,
        cause=_cause(added, form, is_ours=start is not None),
        format=form,
        group=_text(added.get(names.GROUP, added.get(names.DLT_GROUP))) or None,
        attempts=_attempts(added),
        first_failure_ms=_count(added.get(names.FIRST_FAILURE)),
    )


def _ours(headers: RawHeaders) -> int | None:
    """Where the headers begin that streambind added; None if it did not, or somebody added others since."""
    marks = [index for index, (name, _) in enumerate(headers) if name == names.ATTEMPTS]
    if not marks or not all(_is_added(name) for name, _ in headers[marks[-1] :]):
        return None
    return marks[-1]


def _is_added(name: str) -> bool:
    return name in names.OUR_HEADERS or name in names.X_HEADERS or name.startswith("kafka_dlt-")


def _last(headers: RawHeaders) -> dict[str, bytes]:
    return {name: value for name, value in headers if value is not None}


def _format(added: dict[str, bytes]) -> DeadLetterFormat | None:
    """That of the header which came last."""
    for name in reversed(added):
        if name in names.X_HEADERS:
            return DeadLetterFormat.SPRING_CLOUD_STREAM
        if name.startswith(names.SPRING_KAFKA_PREFIXES):
            newer = any(known.endswith("-cause-fqcn") for known in added) or names.DLT_GROUP in added
            return DeadLetterFormat.SPRING_KAFKA if newer else DeadLetterFormat.SPRING_KAFKA_2
    return None


def _original_prefix(form: DeadLetterFormat | None, added: dict[str, bytes]) -> str:
    if form is DeadLetterFormat.SPRING_CLOUD_STREAM:
        return "x-original-"
    # Spring Kafka's retry topics tell the first place under other names.
    return "kafka_original-" if "kafka_original-topic" in added else "kafka_dlt-original-"


def _without(headers: RawHeaders, form: DeadLetterFormat | None) -> list[tuple[str, bytes | None]]:
    """The headers that the message came with. Of names that can be there twice, because the message was a dead
    letter before, the last one is the letter's."""
    kept: list[tuple[str, bytes | None]] = []
    taken: set[str] = set()
    for name, value in reversed(headers):
        if form is DeadLetterFormat.SPRING_CLOUD_STREAM:
            added = name in names.X_HEADERS
            once = True
        else:
            added = form is not None and name.startswith(names.SPRING_KAFKA_PREFIXES)
            once = name.startswith("kafka_dlt-")
        if added and not (once and name in taken):
            taken.add(name)
        else:
            kept.append((name, value))
    return kept[::-1]


def _cause(added: dict[str, bytes], form: DeadLetterFormat | None, *, is_ours: bool) -> Cause:
    if form is DeadLetterFormat.SPRING_CLOUD_STREAM:
        prefix = "x-exception-"
    else:
        prefix = "kafka_exception-" if "kafka_exception-fqcn" in added else "kafka_dlt-exception-"
    name = _text(added.get(f"{prefix}fqcn")) or None
    text, trace = _text(added.get(f"{prefix}message")), _text(added.get(f"{prefix}stacktrace"))
    if is_ours:
        return Cause(name, text, trace)
    # Spring names the exception that it wrapped around the service's own.
    if innermost := list(_CAUSED_BY.finditer(trace)):
        return Cause(innermost[-1][1], (innermost[-1][2] or "").strip(), trace)
    if nested := list(_NESTED.finditer(text)):
        return Cause(nested[-1][1], text[nested[-1].end() :], trace)
    return Cause(_text(added.get(f"{prefix}cause-fqcn")) or name, text, trace)


def _attempts(added: dict[str, bytes]) -> int | None:
    ours = _count(added.get(names.ATTEMPTS))
    return ours if ours is not None else _number(added.get("retry_topic-attempts"))


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="replace")


def _number(value: bytes | None) -> int | None:
    """A big-endian Java number, if it is one that counts something."""
    form = {1: ">b", 4: ">i", 8: ">q"}.get(len(value)) if value is not None else None
    if value is None or form is None:
        return None
    (number,) = struct.unpack(form, value)
    return int(number) if number >= 0 else None


def _partition(value: bytes | None) -> int | None:
    number = _number(value)
    return number if number is not None and number <= MAX_PARTITION else None


def _count(value: bytes | None) -> int | None:
    return int(value) if value is not None and len(value) <= 18 and value.isdigit() else None
