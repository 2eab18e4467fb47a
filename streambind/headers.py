"""Message headers as Spring writes and reads them (pure).

A header value travels as bytes; `spring_json_header_types` names the Java type of each one. Strings travel raw;
other values as JSON. Written like Spring Cloud Stream 5 (`contentType` without quotes), read from every
version: quoted or raw, typed or not. A header that the type map does not list stays bytes, as in Spring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

TYPES = "spring_json_header_types"
_STRING = "java.lang.String"
_NATIVE = frozenset({"contentType", "type"})
_TRUSTED = ("java.lang.", "java.util.", "org.springframework.util.", "java.net.URI")


def encode_headers(headers: Mapping[str, object]) -> list[tuple[str, bytes]]:
    """Headers ready to travel, in the order given, the type map last (absent when nothing needs it).

    Raises:
        TypeError: a value has no JSON form.
    """
    wire: list[tuple[str, bytes]] = []
    types: dict[str, str] = {}
    for name, value in headers.items():
        if isinstance(value, bytes):
            wire.append((name, value))
            continue
        java_type, encoded = _encode(value)
        wire.append((name, encoded))
        if not name.startswith("sb-") and name not in ("traceparent", "tracestate"):
            types[name] = java_type
    if types:
        wire.append((TYPES, _json(types)))
    return wire


def decode_headers(raw: Sequence[tuple[str, bytes | None]]) -> Mapping[str, object]:
    """A read-only mapping of the last value of each name, decoded by the type map where it lists the name.

    Never raises: what does not decode stays bytes. `contentType`, `type` and streambind's own headers are text
    even when unlisted, so that a condition on them works whoever wrote the record.
    """
    types = _types(raw)
    decoded: dict[str, object] = {}
    for name, value in raw:
        if name == TYPES:
            continue
        decoded[name] = _decode(name, value, types.get(name))
    return MappingProxyType(decoded)


def header_text(raw: Sequence[tuple[str, bytes | None]], name: str) -> str | None:
    """One header as text, quotes stripped, without decoding the others; None if absent or not UTF-8."""
    for candidate, value in reversed(raw):
        if candidate == name and value is not None:
            try:
                return value.decode().strip('"')
            except UnicodeDecodeError:
                return None
    return None


def _encode(value: object) -> tuple[str, bytes]:
    match value:
        case str():
            return _STRING, value.encode()
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
        if java_type is None:
            if name in _NATIVE or name.startswith("sb-"):
                return value.decode().strip('"')
            return value
        if java_type == _STRING:
            return json.loads(value) if value[:1] == b'"' else value.decode()
        if java_type.startswith(_TRUSTED):
            decoded: object = json.loads(value)
            return UUID(decoded) if java_type == "java.util.UUID" and isinstance(decoded, str) else decoded
    except (ValueError, RecursionError):
        pass
    return value


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
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
