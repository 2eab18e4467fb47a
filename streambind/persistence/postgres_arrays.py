"""Array literals of PostgreSQL, as text (pure): drivers take Python's lists apart value by value, which costs more
than all else that is done with rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

_EDGES = (1, 9999)
"""The years at whose ends a time's UTC may be in a year that Python does not have."""


def numbers(values: Sequence[Any]) -> str:
    """A literal of whole numbers; what is none becomes what `elements` makes of it."""
    if set(map(type, values)) == {int}:
        return f"{{{','.join(map(str, values))}}}"
    return elements(values)


def texts(values: Sequence[Any]) -> str:
    """A literal of texts; what is none becomes what `elements` makes of it."""
    if set(map(type, values)) == {str}:
        joined = '","'.join(values)
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return f'{{"{joined}"}}'
    return elements(values)


def byte_strings(values: Sequence[Any]) -> str:
    """A literal of bytes; what is none becomes what `elements` makes of it."""
    if set(map(type, values)) == {bytes}:
        return '{"\\\\x' + '","\\\\x'.join(map(bytes.hex, values)) + '"}'
    return elements(values)


def elements(values: Iterable[Any]) -> str:
    """A literal of values of any kind: what the array is of, the server decides.

    Raises:
        TypeError: a value of a kind that has no text.
        OverflowError: a time that in UTC lies before the year 1, or after 9999.
    """
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case int() | float() | Decimal() | UUID():
            return f'"{value:{"d" if isinstance(value, int) else ""}}"'
        case bytes() | bytearray() | memoryview():
            return f'"\\\\x{bytes(value).hex()}"'
        case date() | time():  # A datetime is a date.
            if isinstance(value, datetime) and value.tzinfo is not None and value.year in _EDGES:
                value.astimezone(UTC)  # PostgreSQL would take it, and no driver could read it again.
            return f'"{value.isoformat()}"'
        case _:
            raise TypeError(f"a {type(value).__name__} is no value of a column: give what the column's type takes")
