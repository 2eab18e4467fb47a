"""An entity as its row is, while its event is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import object_mapper
from sqlalchemy.orm.attributes import instance_dict


@contextmanager
def as_stored(entity: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Lets an entity hold what its row holds; afterwards it holds again what its session has read."""
    held = instance_dict(entity)
    composites = object_mapper(entity).composites.keys()
    kept = {name: held[name] for name in (*values, *composites) if name in held}
    for name in composites:
        held.pop(name, None)  # Made of columns when it is asked for.
    held.update(values)
    try:
        yield
    finally:
        for name in (*values, *composites):
            held.pop(name, None)
        held.update(kept)
