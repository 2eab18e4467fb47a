"""Collects the marks that decorators left: from modules, classes, functions and objects, never from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from streambind.inbound.listener import ListenerMark, listeners_of
from streambind.inbound.replicates import ReplicaMark, replicas_of, replicated_by
from streambind.outbound.publication import Publication, publications_of


@dataclass(frozen=True)
class Declarations:
    """What the included code declares, each mark once, in the order of `include`."""

    listeners: tuple[ListenerMark, ...] = ()
    publications: tuple[Publication, ...] = ()
    replicas: tuple[ReplicaMark, ...] = ()
    forgotten: tuple[ReplicaMark, ...] = ()
    """What the modules of the included code declare of classes of other modules, which are not included."""

    def listened(self) -> Iterator[tuple[str, Any]]:
        """Channels that code takes messages from, each with the class or function that does, replicas first."""
        for replica in self.replicas:
            yield replica.binding, replica.declared_on
        for mark in self.listeners:
            yield mark.binding, mark.function

    def published(self) -> Iterator[tuple[str, Any]]:
        """Channels that code publishes to, each with the class or function that does."""
        for publication in self.publications:
            yield publication.binding, publication.declared_on
        for mark in self.listeners:
            if mark.reply is not None:
                yield mark.reply.binding, mark.function


def collect(include: Iterable[object]) -> Declarations:
    """The marks of the modules, classes, functions and objects given."""
    sources = tuple(include)
    classes = [cls for source in sources for cls in _classes(source)]
    nearby = [cls for source in sources for cls in _marked_nearby(source) if cls not in classes]
    return Declarations(
        listeners=tuple(dict.fromkeys(mark for source in sources for mark in listeners_of(source))),
        publications=tuple(dict.fromkeys(mark for cls in classes for mark in publications_of(cls))),
        replicas=tuple(dict.fromkeys(mark for cls in classes for mark in replicas_of(cls))),
        forgotten=tuple(dict.fromkeys(mark for cls in nearby for mark in replicas_of(cls))),
    )


def _classes(source: object) -> list[type]:
    if isinstance(source, type):
        return [source]
    if isinstance(source, ModuleType):
        return [*(value for value in vars(source).values() if isinstance(value, type)), *replicated_by(source)]
    return []


def _marked_nearby(source: object) -> Iterator[type]:
    """The classes of other modules that the module of a class, a function or an object has marked."""
    name = getattr(source, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is not None:
        yield from replicated_by(module)
