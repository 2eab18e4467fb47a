"""An entity as its row is, while its event is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Mapper, RelationshipDirection, object_mapper
from sqlalchemy.orm.attributes import instance_dict

_NEVER_ASKED = ("raise", "raise_on_sql", "noload")


@contextmanager
def as_stored(entity: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Lets an entity hold what its row holds; afterwards it holds again what its session has read."""
    held, mapper = instance_dict(entity), object_mapper(entity)
    # Made of columns, and loaded by them, when they are asked for.
    derived = [*mapper.composites.keys(), *_leading_elsewhere(mapper, values)]
    kept = {name: held[name] for name in (*values, *derived) if name in held}
    for name in derived:
        held.pop(name, None)
    held.update(values)
    try:
        yield
    finally:
        for name in (*values, *derived):
            held.pop(name, None)
        held.update(kept)


def _leading_elsewhere(mapper: Mapper[Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The relationships to what these values refer to, except where asking for it would be an error."""
    columns = {column for name in values for column in mapper.attrs[name].columns}
    for each in mapper.relationships:
        is_asked = each.direction is RelationshipDirection.MANYTOONE and each.lazy not in _NEVER_ASKED
        if is_asked and not columns.isdisjoint(each.local_columns):
            yield each.key
