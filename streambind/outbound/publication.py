"""The mark that `@publishes` leaves on a class, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streambind.event import EntityEvent, JobType

KeyOf = Callable[[Any], object]
Build = Callable[[Any, JobType], object | None]

_MARK = "__streambind_publications__"


@dataclass(frozen=True, slots=True)
class Publication:
    """One `@publishes` of a class. `declared_on` is the class that stands below the decorator."""

    declared_on: type
    binding: str
    event: type[EntityEvent]
    key: KeyOf | None = None
    build: Build | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The event's own fields, which are read from the entity; none where `build` makes the event."""
        if self.build is not None:
            return ()
        return tuple(name for name in self.event.model_fields if name not in EntityEvent.model_fields)


def mark(publication: Publication) -> None:
    """Leave the mark on the class. Decorators run from the bottom up: the one on top comes first."""
    cls = publication.declared_on
    setattr(cls, _MARK, (publication, *cls.__dict__.get(_MARK, ())))


def publications_of(cls: type) -> tuple[Publication, ...]:
    """What is published of a class: its own publications, then what it inherits, of each binding from the most
    derived class only."""
    found: list[Publication] = []
    for ancestor in cls.__mro__:
        taken = {publication.binding for publication in found}
        found.extend(p for p in ancestor.__dict__.get(_MARK, ()) if p.binding not in taken)
    return tuple(found)
