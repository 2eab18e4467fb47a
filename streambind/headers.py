"""Message headers as Spring writes and reads them (pure).

A header value travels as bytes; `spring_json_header_types` names the Java type of each one. Strings travel raw,
unless they begin with a quotation mark, which readers take for JSON; other values travel as JSON. Written like
Spring Cloud Stream 5 (`contentType` without quotes), read from every version: quoted or raw, typed or not. A
header that the type map does not list stays bytes, as in Spring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

TYPES = "spring_json_header_types"
LETTER_FACTS = "sb-dlq-"
"""What streambind says of a dead letter begins so. Anyone can write such headers: they are no message's own."""
_STRING = "java.lang.String"
_CONTENT_TYPE = "contentType"
_TYPE = "type"
_UNTYPED = frozenset({"traceparent", "tracestate"})
_TRUSTED = ("java.lang.", "java.util.", "org.springframework.util.", "java.net.URI")


def encode_headers(headers: Mapping[str, object]) -> list[tuple[str, bytes]]:
    """Headers ready to travel, in the order given, the type map last (absent when nothing needs it).

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a name cannot travel.
    """
    wire: list[tuple[str, bytes]] = []
    types: dict[str, str] = {}
    for name, value in headers.items():
        fault = "it is empty" if name == "" else name_fault(name)
        if fault is not None:
            raise ValueError(f"{name!r} cannot be a header's name: {fault}")
        if isinstance(value, bytes):
            wire.append((name, value))
            continue
        java_type, encoded = _encode(value)
        wire.append((name, encoded))
        if not _is_untyped(name):
            types[name] = java_type
    if types:
        wire.append((TYPES, _json(types)))
    return wire


def name_fault(name: object) -> str | None:
    """Why a header of this name cannot travel; None if it can. Clients written in C crash or cut such names."""
    if not isinstance(name, str):
        return f"it is a {type(name).__name__}, not text"
    if "\0" in name:
        return "it holds a NUL"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "it holds a lone surrogate, which has no form in UTF-8"
    return None


def decode_headers(raw: Sequence[tuple[str, bytes | None]]) -> Mapping[str, object]:
    """A read-only mapping of the last value of each name, decoded by the type map where it lists the name.

    Never raises: what does not decode stays bytes. `contentType`, `type`, the trace headers and streambind's own
    are text even when unlisted, so that a condition on them works whoever wrote the record. What is said of a
    dead letter is left out.
    """
    types = _types(raw)
    decoded: dict[str, object] = {}
    for name, value in raw:
        if name == TYPES or name.startswith(LETTER_FACTS):
            continue
        decoded[name] = _decode(name, value, types.get(name))
    return MappingProxyType(decoded)


def header_text(raw: Sequence[tuple[str, bytes | None]], name: str) -> str | None:
    """One header as text, quotes stripped, without decoding the others; None if absent or not UTF-8."""
    named = dict(raw)  # Of a repeated name it keeps the last one; it is asked for every message.
    value = named.get(name)
    if value is None:
        if name not in named:
            return None
        value = next(
            (given for candidate, given in reversed(raw) if candidate == name and given is not None), None
        )
    try:
        text = None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
    return _plain(name, text) if text is not None and text.startswith(('"', "{")) else text


def _encode(value: object) -> tuple[str, bytes]:
    match value:
        case str():
            return _STRING, _json(value) if value.startswith('"') else value.encode()
        case bool():
            return "java.lang.Boolean", _json(value)
        case int():
            return ("java.lang.Integer" if -(2**31) <= value < 2**31 else "java.lang.Long"), _json(value)
        case float():
            return "java.lang.Double", _json(value)
        case UUID():
            return "java.util.UUID", _json(str(value))
        case list() | tuple():
            return "java.util.ArrayList", _json(value)
        case dict():
            return "java.util.LinkedHashMap", _json(value)
        case _:
            raise TypeError(
                f"a header cannot carry a {type(value).__name__}; give text, bytes, a number, a list or a dict"
            )


def _decode(name: str, value: bytes | None, java_type: str | None) -> object:
    if value is None:
        return None
    try:
        if name == _CONTENT_TYPE or (name == _TYPE and java_type in (None, _STRING)):
            return _plain(name, value.decode())
        if java_type is None:
            return value.decode() if _is_untyped(name) else value
        if java_type == _STRING:
            return _string(value.decode())
        if java_type.startswith(_TRUSTED):
            decoded: object = json.loads(value)
            return UUID(decoded) if java_type == "java.util.UUID" and isinstance(decoded, str) else decoded
    except (ValueError, RecursionError):
        pass
    return value


def _string(text: str) -> str:
    """Older writers and our own quote what could be mistaken; a mark that is no JSON is only a mark."""
    if not text.startswith('"'):
        return text
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return decoded if isinstance(decoded, str) else text


def _plain(name: str, text: str) -> str:
    """Text whoever wrote it: raw, in quotation marks, or a content type taken apart (Spring Cloud Stream 2.0)."""
    if name == _CONTENT_TYPE and text.startswith("{"):
        try:
            parts = json.loads(text)
            return f"{parts['type']}/{parts['subtype']}"
        except (ValueError, KeyError, TypeError, RecursionError):
            return text
    return _string(text)


def _is_untyped(name: str) -> bool:
    """Whether we write the header without a type and read it as text without one."""
    return name in _UNTYPED or name.startswith("sb-")


def _types(raw: Sequence[tuple[str, bytes | None]]) -> Mapping[str, str]:
    for name, value in reversed(raw):
        if name == TYPES and value is not None:
            try:
                types = json.loads(value)
            except (ValueError, RecursionError):
                return {}
            if isinstance(types, dict):
                return {k: v for k, v in types.items() if isinstance(v, str)}
            return {}
    return {}


def _json(value: object) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as exc:
        raise TypeError(f"a header cannot carry {value!r}: {exc}") from exc
    return text.encode()
