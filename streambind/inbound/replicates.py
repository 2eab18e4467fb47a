"""`@replicates`: marks an entity's class as the read model of what arrives at a binding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from streambind.inbound.listener import Condition

Entity = TypeVar("Entity")
Event = TypeVar("Event", bound=BaseModel)

Deletes = Literal["row", "columns"]

_MARK = "__streambind_replicas__"


@dataclass(frozen=True, slots=True)
class ReplicaMark:
    """One `@replicates` of a class: what was written, not yet held against class and event."""

    declared_on: type
    binding: str
    event: type[BaseModel]
    columns: tuple[tuple[str, str], ...] = ()
    key: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()
    transform: tuple[tuple[str, Callable[[Any], object]], ...] = ()
    deletes: Deletes | None = None
    soft_delete: str | None = None
    condition: Condition | str | None = None


def replicates(
    binding: str,
    event: type[Event],
    *,
    columns: Mapping[str, str] | None = None,
    key: str | Sequence[str] = (),
    owns: str | Sequence[str] = (),
    transform: Mapping[str, Callable[[Event], object]] | None = None,
    deletes: Deletes | None = None,
    soft_delete: str | None = None,
    condition: Condition | str | None = None,
) -> Callable[[type[Entity]], type[Entity]]:
    """Keep the table of a mapped class in step with the events of an input binding. Without handler code, exactly
    once, in few statements for many events. For a class that is not yours: `replicates("in-x", Event)(Class)`.

    Columns take the event's field of their name or alias. `columns` says where names differ: column to field.
    `transform` computes columns: column to function of the event. `owns` names the columns that this source fills,
    where it does not fill all: others keep their values, and take their defaults in new rows. `key` names the
    columns that say which row an event is about; by default it is the primary key.

    INSERT and UPDATE insert the row or replace its columns. DELETE, or a null payload, removes the row. With
    `deletes="columns"`, as by default where the source does not own all of them, it puts back the columns that the
    source owns, to null or their default, and the row stays. With `soft_delete` it sets that column (a boolean to
    true, a time to that of the message), which the next INSERT or UPDATE takes back.

    `condition` as with `stream_listener`.

    Raises:
        TypeError: `columns` or `transform` is no mapping.
    """
    mappings: dict[str, object] = {"columns": columns, "transform": transform}
    for name, given in mappings.items():
        if given is not None and not isinstance(given, Mapping):
            example = "{'title': 'name'}" if name == "columns" else "{'title': lambda event: event.name.title()}"
            raise TypeError(f"replicates({binding!r}): {name} takes a mapping like {example}, not {given!r}")

    def decorate(cls: type[Entity]) -> type[Entity]:
        mark = ReplicaMark(
            cls,
            binding,
            event,
            columns=tuple((columns or {}).items()),
            key=(key,) if isinstance(key, str) else tuple(key),
            owns=(owns,) if isinstance(owns, str) else tuple(owns),
            transform=tuple((transform or {}).items()),
            deletes=deletes,
            soft_delete=soft_delete,
            condition=condition,
        )
        # Decorators apply from the bottom up; the upper one is declared first.
        setattr(cls, _MARK, (mark, *replicas_of(cls)))
        return cls

    return decorate


def replicas_of(cls: type) -> tuple[ReplicaMark, ...]:
    """The marks of the class itself: those of the classes above it concern their tables."""
    marks: tuple[ReplicaMark, ...] = cls.__dict__.get(_MARK, ())
    return marks
