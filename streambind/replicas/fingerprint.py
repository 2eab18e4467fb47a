"""What a replica makes of messages, as a short text: what one code has begun, other code must not go on with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

from streambind.replicas.replica import Replica

FINGERPRINT_LENGTH = 16

_PLAIN = (str, bytes, int, float, Decimal, date, timedelta, type(None))
"""Values of a function's surroundings whose text is the same in every process; and collections of such."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(replica: Replica) -> str:
    """Another one where the mark, the event's fields, the columns or the code of the mark's functions are others,
    with the functions and plain values of modules that these name. Methods that they call are not looked at."""
    plan = replica.plan
    mark = plan.mark
    seen: set[CodeType] = set()
    parts = [
        *(f"{name}: {_text([*info.__repr_args__()])}" for name, info in mark.event.model_fields.items()),
        *(f"{column.name} {column.type!r}" for column in plan.columns),
        repr(([column.name for column in plan.key], plan.cleared_attributes)),
        repr((replica.content_type, str(replica.time_zone))),
        *(text for source in (*plan.sources, mark.condition) for text in _source(source, seen)),
    ]
    return sha256(_ADDRESS.sub("", "\0".join(parts)).encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _source(source: str | Callable[..., object] | None, seen: set[CodeType]) -> Iterator[str]:
    if isinstance(source, partial):
        yield from _source(source.func, seen)
        given = {str(number): value for number, value in enumerate(source.args)}
        yield from _surroundings({**given, **source.keywords}, seen)
    elif isinstance(source, FunctionType):
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
    yield from _surroundings({**defaults, **(function.__kwdefaults__ or {}), **cells}, seen)
    for code in _codes(function.__code__):
        yield code.co_code.hex()
        constants = ["" if isinstance(each, CodeType) else _text(each) for each in code.co_consts]
        yield repr((code.co_names, code.co_freevars, constants))
        named = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
        yield from _surroundings(named, seen)


def _surroundings(named: dict[str, Any], seen: set[CodeType]) -> Iterator[str]:
    for name, value in named.items():
        if isinstance(value, FunctionType | partial):
            yield from _source(value, seen)
        elif _is_plain(value):
            yield f"{name}={_text(value)}"


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _text(value: object) -> str:
    """As `repr`, but without an order where that is another one in each process."""
    if isinstance(value, dict):
        return repr(sorted(map(_text, value.items())))
    if isinstance(value, set | frozenset):
        return repr(sorted(map(_text, value)))
    if isinstance(value, list | tuple):
        return repr([*map(_text, value)])
    return repr(value)
