"""How a message is shown: to people as two lines, to machines as one line of JSON."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from rich.highlighter import JSONHighlighter
from rich.text import Text

from streambind.cli.output import line, out, print_json_line
from streambind.headers import TYPES
from streambind.message import CONTENT_TYPE, Message
from streambind.visible import is_text, visible

_PLUMBING = (TYPES, CONTENT_TYPE)
_HEX_BYTES = 64


def show_message(message: Message, *, all_headers: bool = False) -> None:
    """Print a message on two lines."""
    where, payload = message_lines(message, all_headers=all_headers)
    out.print(where)
    out.print(Text("  ").append_text(payload))


def message_lines(message: Message, *, all_headers: bool = False) -> tuple[Text, Text]:
    """Where, key, when and headers; and the payload. Without `all_headers` those that only serve the machinery
    are left out."""
    headers = [
        f"{name}={_readable(value)}"
        for name, value in message.raw_headers
        if all_headers or not (name in _PLUMBING or name.startswith("sb-"))
    ]
    key = None if message.key is None else f"key={_readable(message.key)}"
    parts = [part for part in (key, _moment(message.timestamp_ms), *headers) if part]
    payload = Text("null" if message.payload is None else visible(_readable(message.payload)))
    if payload.plain.startswith(("{", "[")):
        JSONHighlighter().highlight(payload)
    return line("[bold]p{} @{}[/bold]  {}", message.partition, message.offset, "  ".join(parts)), payload


def header_lines(message: Message) -> list[Text]:
    """Every header, a line each."""
    return [line("[dim]{}: {}[/dim]", name, _readable(value)) for name, value in message.raw_headers]


def print_message(message: Message) -> None:
    """`payload` is the JSON value that was sent, else text; bytes that are no text stand as `payload_base64`, and
    so with `key`. A header that is no text is written with escapes."""
    print_json_line(
        {
            "destination": message.destination,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp_ms": message.timestamp_ms,
            **_text_or_base64("key", message.key),
            "headers": [[n, None if v is None else _escaped(v)] for n, v in message.raw_headers],
            **_payload(message.payload),
        }
    )


def _moment(timestamp_ms: int | None) -> str | None:
    """The time of day in UTC, with the date unless it is today."""
    if timestamp_ms is None or timestamp_ms < 0:
        return None
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp_ms} ms"
    today = moment.date() == datetime.now(UTC).date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M:%S}"


def _readable(value: bytes | None) -> str:
    """Text as it is; other bytes in hexadecimal, with their number."""
    if value is None:
        return "null"
    if is_text(value):
        return value.decode()
    rest = "..." if len(value) > _HEX_BYTES else ""
    return f"<{len(value)} bytes: {value[:_HEX_BYTES].hex(' ', 4)}{rest}>"


def _payload(payload: bytes | None) -> dict[str, object]:
    if payload is None:
        return {"payload": None}
    try:
        value = json.loads(payload)
        # NaN and numbers beyond all bounds are read, but have no JSON form.
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return _text_or_base64("payload", payload)
    return {"payload": value}


def _text_or_base64(name: str, value: bytes | None) -> dict[str, object]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _escaped(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
