"""Attributes of entities, read by name."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import getattr_static
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute, Mapper


class Attributes:
    """The values of some attributes of a mapped class's entities.

    A mapped attribute says what the entity holds, and loads it only where it holds nothing: what is there is taken
    from it directly, which is most of the time that reading takes.
    """

    __slots__ = ("_are_held", "_names")

    def __init__(self, mapper: Mapper[Any], names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._are_held = all(_is_held(mapper.class_, name) for name in self._names)

    def of(self, entity: Any) -> dict[str, Any]:
        """The values by name, in the order of the names; reading may load them.

        Raises:
            Exception: what reading an attribute raises.
        """
        if self._are_held:
            held = entity.__dict__
            try:
                return {name: held[name] for name in self._names}
            except KeyError:
                pass
        return {name: getattr(entity, name) for name in self._names}


def _is_held(of: type, name: str) -> bool:
    """Whether the attribute is a mapped one under its own name, not one that code of the class computes."""
    attribute = getattr_static(of, name, None)  # Not asked for: the class may not be able to compute it.
    return type(attribute) is InstrumentedAttribute and attribute.key == name
