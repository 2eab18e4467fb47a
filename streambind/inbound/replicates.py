"""`@replicates`: marks an entity's class as the read model of what arrives at a binding."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from streambind.configuration.finding import Origin
from streambind.inbound.listener import Condition

Entity = TypeVar("Entity")
Event = TypeVar("Event", bound=BaseModel)

Deletes = Literal["row", "columns"]

_MARK = "__streambind_replicas__"
_NOTE = "__streambind_replicated__"
"""In a module: the classes of other modules that its code has marked, and whether outside of functions."""


@dataclass(frozen=True, slots=True)
class ReplicaMark:
    """One `@replicates` of a class: what was written, not yet held against class and event; and where."""

    declared_on: type
    binding: str
    event: type[BaseModel]
    columns: tuple[tuple[str, str], ...] = ()
    key: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()
    transform: tuple[tuple[str, Callable[[Any], object]], ...] = ()
    deletes: Deletes | None = None
    soft_delete: str | None = None
    where: Callable[[Any], bool] | None = None
    condition: Condition | str | None = None
    place: Origin | None = field(default=None, compare=False)


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
    where: Callable[[Event], bool] | None = None,
    condition: Condition | str | None = None,
) -> Callable[[type[Entity]], type[Entity]]:
    """Keep the table of a mapped class in step with the events of an input binding. Without handler code, exactly
    once, in few statements for many events. For a class that is not yours: `replicates("in-x", Event)(Class)`, in
    a module that the application includes; or include the class.

    Columns take the event's field of their name or alias. `columns` says where names differ: column to field.
    `transform` computes columns: column to function of the event. `owns` names the columns that this source fills,
    where it does not fill all: others keep their values, and take their defaults in new rows. `key` names the
    columns that say which row an event is about; by default it is the primary key.

    INSERT and UPDATE insert the row or replace its columns. DELETE, or a null payload, removes the row. With
    `deletes="columns"`, as by default where the source does not own all of them, it puts back the columns that the
    source owns, to null or their default, and the row stays. With `soft_delete` it sets that column (a boolean to
    true, a time to that of the message), which the next INSERT or UPDATE takes back.

    `where`, a function of the event, says which rows there shall be: an INSERT or UPDATE for which it is False
    does what a DELETE does, so that a row goes when it no longer fits. `condition`, as with `stream_listener`,
    says which messages concern the replica: others change nothing.

    Raises:
        TypeError: `columns` or `transform` is no mapping.
    """
    mappings: dict[str, object] = {"columns": columns, "transform": transform}
    for name, given in mappings.items():
        if given is not None and not isinstance(given, Mapping):
            example = "{'title': 'name'}" if name == "columns" else "{'title': lambda event: event.name.title()}"
            raise TypeError(f"replicates({binding!r}): {name} takes a mapping like {example}, not {given!r}")

    def decorate(cls: type[Entity]) -> type[Entity]:
        here = inspect.currentframe()
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
            where=where,
            condition=condition,
            place=_note(cls, None if here is None else here.f_back),
        )
        # Decorators apply from the bottom up; the upper one is declared first.
        setattr(cls, _MARK, (mark, *replicas_of(cls)))
        return cls

    return decorate


def replicas_of(cls: type) -> tuple[ReplicaMark, ...]:
    """The marks of the class itself: those of the classes above it concern their tables."""
    marks: tuple[ReplicaMark, ...] = cls.__dict__.get(_MARK, ())
    return marks


def replicated_by(module: ModuleType) -> list[type]:
    """The classes of other modules that the code of this one has marked, outside of functions."""
    return [cls for cls, is_outside in _noted(module) if is_outside]


def replicas_anywhere() -> Iterator[ReplicaMark]:
    """The marks of classes that code of other modules has marked: to say what an application may have
    forgotten."""
    for module in list(sys.modules.values()):
        for cls, _ in _noted(module):
            yield from replicas_of(cls)


def _note(cls: type, frame: FrameType | None) -> Origin | None:
    """Leave in the module whose code marks a class of another one that it has; returns the place."""
    if frame is None:
        return None
    place = Origin(frame.f_code.co_filename, frame.f_lineno, 1)
    if cls.__module__ == frame.f_globals.get("__name__"):
        return place  # It is found there anyway.
    notes: MutableMapping[type, bool] = frame.f_globals.setdefault(_NOTE, WeakKeyDictionary())
    is_outside = frame.f_code.co_name == "<module>"
    notes[cls] = is_outside or notes.get(cls, False)
    return place


def _noted(module: ModuleType) -> list[tuple[type, bool]]:
    notes = getattr(module, "__dict__", {}).get(_NOTE)
    return list(notes.items()) if isinstance(notes, WeakKeyDictionary) else []
