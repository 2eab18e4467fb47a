"""Fields whose values are of another type than the columns that a replica fills with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy.types import TypeDecorator

from streambind.configuration.code_origin import code_origin
from streambind.configuration.finding import Finding, Severity
from streambind.inbound.replica_columns import ReplicaColumns

_PLAIN = (str, bytes, bool, int, float, Decimal, datetime, date, time, timedelta, UUID)
_NUMBERS = (bool, int, float, Decimal)
_WHOLE = (bool, int)


def misfits(found: ReplicaColumns) -> Iterator[Finding]:
    """A warning for each column that is filled from a field of another plain type. What the database would say of
    such a value differs: it may refuse it, or keep something else."""
    for name, source in found.sources.items():
        if isinstance(source, str):
            field = _plain(found.mark.event.model_fields[source].annotation)
            column = _taken(found.attributes[name])
            if field is not None and column is not None and not _fits(field, column):
                text = (
                    f"{found.name}: column {name!r} takes {column.__name__}, and field {source!r} of "
                    f"{found.mark.event.__name__} is {field.__name__}: the database may refuse it; change one of "
                    "them, or convert it with transform="
                )
                yield Finding(Severity.WARNING, text, code_origin(found.mark.declared_on))


def _plain(annotation: Any) -> type | None:
    """The one plain type of an annotation, which may be null; else None."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    alternatives = [each for each in parts if each is not NoneType]
    return next((each for each in _PLAIN if alternatives == [each]), None)


def _taken(column: Column[Any]) -> type | None:
    if isinstance(column.type, TypeDecorator):
        return None  # It converts what it likes.
    try:
        taken = column.type.python_type
    except NotImplementedError:
        return None
    return taken if taken in _PLAIN else None


def _fits(field: type, column: type) -> bool:
    if field in _NUMBERS and column in _NUMBERS:
        return field is column or (column is not bool and (field in _WHOLE or column not in _WHOLE))
    return field is column
