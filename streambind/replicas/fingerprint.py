"""What a replica makes of messages, as a short text: what one code has begun, other code must not go on with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

from streambind.replicas.replica import Replica

FINGERPRINT_LENGTH = 16

_PLAIN = (str, bytes, int, float, Decimal, date, timedelta, type(None))
"""Values of a function's surroundings whose text is the same in every process."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(replica: Replica) -> str:
    """Another one where the mark, the event's fields, the columns or the code of the mark's functions are others,
    with the functions and plain values of modules that these name. Methods that they call are not looked at."""
    plan = replica.plan
    mark = plan.mark
    seen: set[CodeType] = set()
    parts = [
        *(f"{name}: {info!r}" for name, info in mark.event.model_fields.items()),
        *(f"{column.name} {column.type!r}" for column in plan.columns),
        repr(([column.name for column in plan.key], plan.cleared_attributes)),
        repr((replica.content_type, str(replica.time_zone))),
        *(text for source in (*plan.sources, mark.condition) for text in _source(source, seen)),
    ]
    return sha256(_ADDRESS.sub("", "\0".join(parts)).encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _source(source: str | Callable[..., object] | None, seen: set[CodeType]) -> Iterator[str]:
    if isinstance(source, FunctionType):
        yield from _function(source, seen)
    else:
        yield source if isinstance(source, str) else getattr(source, "__qualname__", type(source).__qualname__)


def _function(function: FunctionType, seen: set[CodeType]) -> Iterator[str]:
    if function.__code__ in seen:
        return
    seen.add(function.__code__)
    cells = {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    }
    defaults = {str(number): value for number, value in enumerate(function.__defaults__ or ())}
    yield from _surroundings({**defaults, **cells}, seen)
    for code in _codes(function.__code__):
        yield code.co_code.hex()
        yield repr((code.co_names, code.co_freevars, [_constant(each) for each in code.co_consts]))
        named = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
        yield from _surroundings(named, seen)


def _surroundings(named: dict[str, Any], seen: set[CodeType]) -> Iterator[str]:
    for name, value in named.items():
        if isinstance(value, FunctionType):
            yield from _function(value, seen)
        elif isinstance(value, _PLAIN):
            yield f"{name}={value!r}"


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _constant(constant: object) -> str:
    if isinstance(constant, CodeType):
        return ""
    return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
