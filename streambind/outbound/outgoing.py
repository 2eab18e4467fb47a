"""A message on its way out: encoded in the caller's hands, complete but for what the relay adds from the row."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from streambind.configuration.properties import Publish
from streambind.conversion import Encoder
from streambind.errors import EncodeError, PayloadTooLargeError
from streambind.event import EntityEvent
from streambind.headers import TYPES, encode_headers
from streambind.message import COMMITTED, CONTENT_TYPE, EVENT_ID, ORIGIN, ROUTE, SNAPSHOT, TYPE
from streambind.outbound.event_ids import new_event_id
from streambind.outbound.key_expression import KeyExpression
from streambind.route import Route

Deletes = Literal["event", "tombstone", "event-and-tombstone"]

Headers = tuple[tuple[str, bytes | None], ...]

_RESERVED = frozenset({COMMITTED, CONTENT_TYPE, EVENT_ID, ORIGIN, ROUTE, SNAPSHOT, TYPES, "id", "timestamp"})


@dataclass(slots=True)
class OutputPlan:
    """What the writing side knows of an output binding. `max_payload_bytes` is set when the binding starts and
    the broker has said what it accepts; None: no limit is checked. `key_of` makes the keys of messages that code
    gives none; `max_rounds` is how often what it sends may lead back to it."""

    binding: str
    destination: str
    encoder: Encoder
    content_type: str = "application/json"
    publish: Publish = Publish.OUTBOX
    deletes: Deletes = "event"
    max_payload_bytes: int | None = None
    key_of: KeyExpression | None = None
    max_rounds: int = 10


class Outgoing(NamedTuple):
    """One message, encoded. `headers` travel as they are, without those that `wire_message` adds; `payload` None
    is a tombstone. `event_id` is a UUID's text; without one it is not an event of this service: it gets no number
    and no header more. `partition` None leaves it to the key."""

    binding: str
    destination: str
    key: bytes | None
    payload: bytes | None
    headers: Headers
    event_id: str | None
    partition: int | None = None


def outgoing(
    plan: OutputPlan,
    payload: object,
    *,
    key: bytes | None,
    headers: Mapping[str, object] | None = None,
    type_: str | None = None,
    event_id: str | None = None,
) -> Outgoing:
    """Encode a payload for a binding; None is a tombstone. `type_` is the `type` header where the payload's own
    is not meant. Without a key the binding's `messageKeyExpression` makes one, if it has one; without an
    `event_id` it gets a new one.

    Raises:
        PayloadTooLargeError: the encoded payload exceeds the binding's limit.
        EncodeError: payload or headers cannot be encoded, or a header's name is reserved.
        CaptureError: the expression gives what cannot be a key.
    """
    type_, encoded = type_ or type_name(payload), encode_payload(plan, payload)
    if key is None and plan.key_of is not None:
        key = plan.key_of.key(encoded, {TYPE: type_, CONTENT_TYPE: plan.content_type, **(headers or {})})
    of_message = message_headers(plan, type_, headers)
    return Outgoing(plan.binding, plan.destination, key, encoded, of_message, event_id or new_event_id())


def led_to(plan: OutputPlan, message: Outgoing, route: Route) -> Outgoing:
    """The message with the route that led to it.

    Raises:
        CircleError: it would begin one round too many.
    """
    route.refuse_circle(plan.binding, plan.destination, max_rounds=plan.max_rounds)
    return message._replace(headers=with_headers(message.headers, [(ROUTE, str(route).encode())]))


def with_headers(headers: Headers, more: Sequence[tuple[str, bytes | None]]) -> Headers:
    """Headers and more of them; Spring's type map stays last."""
    end = before_types(headers)
    return (*headers[:end], *more, *headers[end:])


def before_types(headers: Headers) -> int:
    """Where more headers belong: Spring's type map stays last."""
    return len(headers) - 1 if headers and headers[-1][0] == TYPES else len(headers)


def encode_payload(plan: OutputPlan, payload: object) -> bytes | None:
    """
    Raises:
        PayloadTooLargeError: the encoded payload exceeds the binding's limit.
        EncodeError: the payload cannot become bytes of the binding's content type.
    """
    if payload is None:
        return None
    try:
        encoded = plan.encoder(payload)
    except EncodeError as error:
        raise EncodeError(f"binding {plan.binding}: {error}") from error
    limit = plan.max_payload_bytes
    if limit is not None and len(encoded) > limit:
        raise PayloadTooLargeError(
            f"binding {plan.binding}: a {type(payload).__name__} of {len(encoded)} bytes exceeds the "
            f"{limit} bytes that {plan.destination} accepts: publish less, or raise the limit of the topic "
            "and of the binding's producer"
        )
    return encoded


def type_name(payload: object) -> str | None:
    """The `type` header of a payload: its event type or its class, None for plain values."""
    kind: Any = type(payload)
    if EntityEvent in kind.__mro__:  # isinstance() runs code of pydantic's
        event: Any = payload
        name: str = event.event_type
        return name
    if isinstance(payload, BaseModel) or dataclasses.is_dataclass(payload):
        return type(payload).__name__
    return None


def message_headers(plan: OutputPlan, type_: str | None, headers: Mapping[str, object] | None = None) -> Headers:
    """`type`, `contentType`, the caller's headers, and `traceparent` where a span is active; Spring's type map
    last.

    Raises:
        EncodeError: a value has no JSON form, a name cannot travel or is streambind's own.
    """
    try:
        return _message_headers(plan, type_, headers)
    except (TypeError, ValueError) as error:
        raise EncodeError(f"binding {plan.binding}: {error}") from error


def _message_headers(plan: OutputPlan, type_: str | None, headers: Mapping[str, object] | None) -> Headers:
    traceparent = active_traceparent()
    if headers is None and traceparent is None:
        return _plain_headers(type_, plan.content_type)
    named: dict[str, object] = {} if type_ is None else {TYPE: type_}
    named[CONTENT_TYPE] = plan.content_type
    for name, value in (headers or {}).items():
        if name in _RESERVED:
            raise EncodeError(
                f"binding {plan.binding}: the header {name!r} is written by streambind; leave it out"
            )
        named[name] = value
    if traceparent is not None:
        named.setdefault("traceparent", traceparent)
    return tuple(encode_headers(named))


def active_traceparent() -> str | None:
    """The W3C trace context of the active OpenTelemetry span. OpenTelemetry is never imported for it: where
    nobody has, no span can be active."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@lru_cache(maxsize=1024)
def _plain_headers(type_: str | None, content_type: str) -> Headers:
    named = {CONTENT_TYPE: content_type} if type_ is None else {TYPE: type_, CONTENT_TYPE: content_type}
    return tuple(encode_headers(named))
