"""The values of a column as one parameter, with the column's own type for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    Time,
    Uuid,
    bindparam,
    cast,
)
from sqlalchemy.dialects.postgresql import ARRAY as POSTGRES_ARRAY
from sqlalchemy.dialects.postgresql import BIT, BYTEA
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from streambind.persistence.postgres_arrays import byte_strings, elements, numbers, texts

_POSTGRESQL: Any = PGDialect()  # type: ignore[no-untyped-call]
_LITERALS: tuple[tuple[tuple[type[TypeEngine[Any]], ...], Callable[[Sequence[Any]], str]], ...] = (
    ((Integer,), numbers),
    ((String, Uuid), texts),
    ((LargeBinary, BYTEA), byte_strings),
    ((Boolean, Date, DateTime, Numeric, Time), elements),
)
_TEXTS = ("VARCHAR", "CHAR", "TEXT")
_LENGTH = re.compile(r"\(.*?\)")


def fits(column: ColumnElement[Any]) -> bool:
    """Whether the column's values can be elements: no arrays, no bits, nothing that is wrapped in SQL."""
    is_wrapped = column.type.bind_expression(bindparam("value", type_=column.type)) is not None
    return not is_wrapped and not isinstance(_underlying(column.type), ARRAY | POSTGRES_ARRAY | BIT)


def array_of(of: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type of a parameter that holds values of a column of this type, as the service's code has them. What is
    simple travels as text, the rest as a list."""
    underlying = _underlying(of)
    for kinds, literal in _LITERALS:
        if isinstance(underlying, kinds):
            return _Literal(of, literal)
    return ARRAY(_Element(of), dimensions=1)


class _Literal(UserDefinedType[Any]):
    """An array whose parameter is its literal. Drivers must not see that it is one: they would want a list."""

    cache_ok = True

    def __init__(self, of: TypeEngine[Any], literal: Callable[[Sequence[Any]], str]) -> None:
        self.of = of
        self.literal = literal

    def get_col_spec(self, **_: Any) -> str:
        return f"{_element_name(self.of)}[]"

    def bind_processor(self, dialect: Any) -> Callable[[Any], str]:
        # Not that of the driver's dialect, which makes what only the driver understands.
        process = self.of.dialect_impl(_POSTGRESQL).bind_processor(_POSTGRESQL)
        literal = self.literal
        if process is None:
            return literal
        return lambda values: literal([process(value) for value in values])

    def literal_processor(self, dialect: Any) -> Callable[[Any], str]:
        text: Any = Text()
        bound, quoted = self.bind_processor(dialect), text.literal_processor(dialect)
        return lambda values: quoted(bound(values))

    def bind_expression(self, bindvalue: Any) -> Any:
        return cast(cast(bindvalue, Text), self)


class _Element(UserDefinedType[Any]):
    """A column's type as that of an array's elements."""

    cache_ok = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        self.of = of

    def get_col_spec(self, **_: Any) -> str:
        return _element_name(self.of)

    def bind_processor(self, dialect: Any) -> Any:
        return self.of.dialect_impl(dialect).bind_processor(dialect)


def _element_name(of: TypeEngine[Any]) -> str:
    """Without a length: a cast to one would cut silently what an INSERT refuses. Not TEXT, to which a CHAR is not
    equal that is filled with spaces, nor found by its index."""
    written = str(_POSTGRESQL.type_compiler_instance.process(of))
    if written.startswith(_TEXTS):
        return "VARCHAR"
    # The names of types of one's own may hold anything.
    return _LENGTH.sub("", written) if isinstance(_underlying(of), Numeric | DateTime | Time) else written


def _underlying(of: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type of PostgreSQL that there is below what a service has made of it."""
    found = of.dialect_impl(_POSTGRESQL)
    while isinstance(found, TypeDecorator):
        found = found.load_dialect_impl(_POSTGRESQL).dialect_impl(_POSTGRESQL)
    return found
