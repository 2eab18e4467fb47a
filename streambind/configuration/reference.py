"""The reference of all properties, made from the schema: `python -m streambind.configuration.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from streambind.configuration.durations import Duration
from streambind.configuration.names import uniform
from streambind.configuration.shape import BinderModels, Group, Leaf, Listing, Member, Shape, Table, stream_root

_KEYS = {"bindings": "<name>", "binders": "<name>"}


@dataclass(frozen=True, slots=True)
class Row:
    """One property below `spring.cloud.stream` or `streambind`."""

    key: str
    type: str
    default: str
    description: str


def reference(models: Iterable[BinderModels]) -> list[Row]:
    """Every property of the core and of the given binders, in the order of the schema.

    `default.*` takes what a binding takes, so it is one row.
    """
    return list(_rows(stream_root(models), ""))


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| Property | Type | Default | |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.key}` | {row.type} | {default} | {row.description} |")
    return "\n".join(lines) + "\n"


def _rows(shape: Group, prefix: str) -> Iterator[Row]:
    seen: set[str] = set()
    for member in shape.members.values():
        if member.name not in seen:
            seen.add(member.name)
            yield from _member(member, f"{prefix}{member.name}")


def _member(member: Member, key: str) -> Iterator[Row]:
    field, shape = member.field, member.shape
    if member.no_effect is not None:
        suffix = ".*" if isinstance(shape, Group | Table) else ""
        yield Row(f"{key}{suffix}", "", "", f"no effect: {member.no_effect.reason}")
    elif uniform(member.name) == "default" and isinstance(shape, Group):
        yield Row(f"{key}.*", "", "", (field.description if field else None) or "of all bindings")
    elif isinstance(shape, Group):
        yield from _rows(shape, f"{key}.")
    elif isinstance(shape, Table) and isinstance(shape.value, Group):
        yield from _rows(shape.value, f"{key}.{_KEYS.get(shape.kind, '<key>')}.")
        if shape.kind == "binders":
            text = "what is written as for a service with one cluster; laid over it"
            yield Row(f"{key}.<name>.environment.*", "", "", text)
    else:
        suffix = ".<key>" if isinstance(shape, Table) else ""
        description = (field.description if field else None) or ""
        yield Row(f"{key}{suffix}", _type(shape, field), _default(field), description)


def _type(shape: Shape, field: FieldInfo | None) -> str:
    if isinstance(shape, Listing):
        return "list"
    if isinstance(shape, Table):
        return "map"
    assert isinstance(shape, Leaf)
    if shape.options:
        return ", ".join(f"`{option}`" for option in shape.options)
    metadata = field.metadata if field else []
    for item in metadata:
        if isinstance(item, BeforeValidator) and isinstance(item.func, Duration):
            return f"duration ({item.func.unit})"
    limit = "".join(f", from {item.ge}" for item in metadata if hasattr(item, "ge"))
    annotation = str(field.annotation) if field else ""
    words = {"bool": "true or false", "int": "number", "float": "number", "SecretStr": "secret"}
    return next((text for word, text in words.items() if word in annotation), "text") + limit


def _default(field: FieldInfo | None) -> str:
    value: Any = field.get_default(call_default_factory=True) if field else None
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, BaseModel) or value in ((), [], {}):
        return ""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.stdout.write(table(reference(point.load() for point in entry_points(group="streambind.binders"))))
