"""Which columns a replica fills, and from what; what does not fit is told, all at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import Boolean, Column, DateTime, Table, UniqueConstraint
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, class_mapper

from streambind.configuration.code_origin import code_origin
from streambind.configuration.finding import Finding, Severity
from streambind.configuration.names import did_you_mean
from streambind.inbound.decoding import takes_null
from streambind.inbound.replicates import Deletes, ReplicaMark

Source = str | Callable[[Any], object]
"""The name of an event's field, or a function of the event."""


@dataclass(slots=True)
class ReplicaColumns:
    """A mark held against its class and its event. Columns go by the names of their attributes. With any of the
    `mistakes`, the rest is not to be used."""

    mark: ReplicaMark
    mapper: Mapper[Any] | None = None
    attributes: dict[str, Column[Any]] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    sources: dict[str, Source] = field(default_factory=dict)
    """Of each column that it owns, those of the key first."""
    deletes: Deletes = "row"
    mistakes: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"replica {self.mark.declared_on.__qualname__}"

    def wrong(self, text: str) -> None:
        """Record a mistake; `text` goes on after the class's name."""
        self.mistakes.append(Finding(Severity.ERROR, f"{self.name}: {text}", code_origin(self.mark.declared_on)))


def read_columns(mark: ReplicaMark) -> ReplicaColumns:
    """Never raises: what is wrong stands in the result's `mistakes`. Configures the class's mapper."""
    found = ReplicaColumns(mark)
    event: object = mark.event
    if not (isinstance(event, type) and issubclass(event, BaseModel)):
        found.wrong(f"{event!r} is no event class; give one of EntityEvent, or another pydantic model")
        return found
    if (text := _map(found)) is not None:
        found.wrong(text)
        return found
    for text in _unknown_names(found):
        found.wrong(text)
    if not found.mistakes:
        _fill(found)
        for text in (*_unfit(found), *_unfit_deletes(found)):
            found.wrong(text)
    return found


def _map(found: ReplicaColumns) -> str | None:
    """The class's mapper and columns; or why there are none."""
    try:
        mapper: Mapper[Any] = class_mapper(found.mark.declared_on)
    except SQLAlchemyError as error:
        return f"SQLAlchemy does not map it: {error}"
    found.mapper = mapper
    if not isinstance(mapper.local_table, Table) or mapper.inherits or mapper.polymorphic_on is not None:
        return (
            "it shares its rows with other classes (inheritance); replicate into a class with one table of its own"
        )
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if isinstance(column, Column) and column.table is mapper.local_table and column.computed is None:
            found.attributes[attribute.key] = column
    keys = (mapper.get_property_by_column(column).key for column in mapper.primary_key)
    found.key = found.mark.key or tuple(keys)
    return None


def _unknown_names(found: ReplicaColumns) -> Iterator[str]:
    mark, cls, event = found.mark, found.mark.declared_on.__name__, found.mark.event
    named = {
        "columns": [column for column, _ in mark.columns],
        "key": mark.key,
        "owns": mark.owns,
        "transform": [column for column, _ in mark.transform],
        "soft_delete": [mark.soft_delete] if mark.soft_delete is not None else [],
    }
    for argument, names in named.items():
        for name in names:
            if name not in found.attributes:
                yield f"{argument} names {name!r}, but {cls} has no such column{_hint(name, found.attributes)}"
    for column, given in mark.columns:
        if given not in event.model_fields:
            turned = " (columns= goes from column to field)" if given in found.attributes else ""
            yield (
                f"columns takes {column!r} from {given!r}, but {event.__name__} has no such field{turned}"
                f"{_hint(given, event.model_fields)}"
            )
    for column, function in mark.transform:
        if not _is_function(function):
            yield f"transform makes {column!r} with {function!r}, which is no ordinary function of the event"
    if mark.where is not None and not _is_function(mark.where):
        yield f"where={mark.where!r} is no ordinary function of the event"
    twice = {column for column, _ in mark.columns} & {column for column, _ in mark.transform}
    for column in sorted(twice):
        yield f"{column!r} is both in columns and in transform; keep one"
    if mark.deletes not in (None, "row", "columns"):
        yield f'deletes={mark.deletes!r} is neither "row" nor "columns"'
    if mark.deletes is not None and mark.soft_delete is not None:
        yield "deletes and soft_delete both say what a DELETE does; keep one"


def _is_function(given: object) -> bool:
    return callable(given) and not inspect.iscoroutinefunction(given)


def _fill(found: ReplicaColumns) -> None:
    """What each column is filled from."""
    mark = found.mark
    owned = dict.fromkeys([*found.key, *(mark.owns or found.attributes)])
    owned.pop(mark.soft_delete or "", None)
    computed: Mapping[str, Source] = dict(mark.transform)
    named: Mapping[str, Source] = dict(mark.columns)
    for name in owned:
        source = computed.get(name) or named.get(name) or _field_like(found, name)
        if source is not None:
            found.sources[name] = source
        elif name in found.key or mark.owns or not _makes_itself(found.attributes[name]):
            found.wrong(_without_field(found, name))
    found.deletes = mark.deletes or ("columns" if _left_out(found) and mark.soft_delete is None else "row")


def _left_out(found: ReplicaColumns) -> list[str]:
    """The columns that are somebody else's to fill."""
    owns = (*found.key, *(found.mark.owns or found.attributes), found.mark.soft_delete)
    return [name for name in found.attributes if name not in owns]


def _field_like(found: ReplicaColumns, name: str) -> str | None:
    """The event's field of the column's name, or with it as alias."""
    fields = found.mark.event.model_fields
    spellings = (name, found.attributes[name].name)
    direct = [spelling for spelling in spellings if spelling in fields]
    return next(iter([*direct, *(f for f, info in fields.items() if _aliases(info) & set(spellings))]), None)


def job_field(event: type[BaseModel]) -> str | None:
    """The attribute that says what has happened to the row; None if the event has none."""
    fields = event.model_fields
    if "job_type" in fields or hasattr(event, "job_type"):
        return "job_type"
    return next((name for name, info in fields.items() if "jobType" in {name, *_aliases(info)}), None)


def _aliases(info: FieldInfo) -> set[str | None]:
    read = info.validation_alias if isinstance(info.validation_alias, str) else None
    return {info.alias, info.serialization_alias, read} - {None}


def _makes_itself(column: Column[Any]) -> bool:
    """Whether the column is a number that the database gives each new row."""
    return column.identity is not None or column is column.table.autoincrement_column


def _without_field(found: ReplicaColumns, name: str) -> str:
    mark, event = found.mark, found.mark.event
    what = "key column" if name in found.key else "column"
    text = f"{what} {name!r} has no field in {event.__name__}{_hint(name, event.model_fields)}"
    if name in found.key:
        return f'{text}; name it with columns={{"{name}": "field"}}, or another key with key='
    rest = "" if mark.owns else ", or leave it out by naming the columns that this source fills with owns="
    return f'{text}; name it with columns={{"{name}": "field"}}, compute it with transform={rest}'


def _unfit(found: ReplicaColumns) -> Iterator[str]:
    """Columns that could not be written."""
    mark, fields = found.mark, found.mark.event.model_fields
    for name, source in found.sources.items():
        column = found.attributes[name]
        if isinstance(source, str) and not (column.nullable and name not in found.key):
            annotation = fields[source].annotation
            if takes_null(annotation) and annotation not in (Any, object):
                yield (
                    f"column {name!r} takes no null, but field {source!r} of {mark.event.__name__} may be null; "
                    "make the column nullable, the field not, or compute the column with transform="
                )
    for name in found.key:
        if found.attributes[name].nullable and not _never_null(found, name):
            yield (
                f"key column {name!r} may be null, and rows are not found by null: make the column take none, or "
                "fill it from a field that is never null"
            )
    for name in _left_out(found):
        if not _can_be_left_out(found.attributes[name]):
            yield (
                f"column {name!r} is not filled by this source, takes no null and has no default: no row could be "
                "inserted; give it a default, or make it nullable"
            )
    key = {found.attributes[name] for name in found.key}
    assert found.mapper is not None
    if key not in _unique(found.mapper):
        listed = ", ".join(found.key)
        yield (
            f"its key ({listed}) is neither the primary key nor unique: rows could not be found by it; add a "
            "unique constraint to the table"
        )


def _never_null(found: ReplicaColumns, name: str) -> bool:
    source = found.sources.get(name)
    # Of a field that may be null it is told elsewhere.
    return isinstance(source, str) and found.mark.event.model_fields[source].annotation not in (Any, object)


def _can_be_left_out(column: Column[Any]) -> bool:
    has_default = column.default is not None or column.server_default is not None
    return bool(column.nullable) or has_default or _makes_itself(column)


def _unique(mapper: Mapper[Any]) -> list[set[Column[Any]]]:
    """The sets of columns that are unique together."""
    table = mapper.local_table
    assert isinstance(table, Table)
    constraints = [set(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    # A partial index says nothing of the other rows.
    whole = [i for i in table.indexes if i.unique and not any(k.endswith("_where") for k in i.dialect_kwargs)]
    return [set(table.primary_key.columns), *constraints, *(set(index.columns) for index in whole)]


def _unfit_deletes(found: ReplicaColumns) -> Iterator[str]:
    mark = found.mark
    if mark.soft_delete is not None:
        column = found.attributes[mark.soft_delete]
        if mark.soft_delete in (*found.key, *mark.owns, *dict(mark.columns), *dict(mark.transform)):
            yield f"soft_delete sets {mark.soft_delete!r}: it cannot be filled from the event too"
        if not isinstance(column.type, Boolean | DateTime):
            yield f"soft_delete names {mark.soft_delete!r}, which is neither a boolean nor a time"
        elif isinstance(column.type, DateTime) and not column.nullable:
            yield f"soft_delete names the time {mark.soft_delete!r}, which takes no null: none could come back"
    elif found.deletes == "columns":
        if set(found.sources) == set(found.key):
            yield "a DELETE puts back the columns of this source, but it fills none beside its key"
        for name in found.sources:
            column = found.attributes[name]
            default: Any = column.default
            if name in found.key or column.nullable or (default is not None and default.is_scalar):
                continue
            yield (
                f"a DELETE puts back the columns of this source, but {name!r} takes no null and has no plain "
                'default; give it one, make it nullable, or write deletes="row"'
            )


def _hint(name: str, known: Mapping[str, object]) -> str:
    return did_you_mean(name, known)
