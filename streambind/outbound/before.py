"""An entity as it was before a flush changes or deletes its row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import get_history, set_committed_value
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE
from sqlalchemy.orm.exc import ObjectDeletedError

from streambind.outbound.stored_rows import stored_rows


def entity_before(session: Session, mapper: Mapper[Any], entity: Any, columns: Collection[str]) -> Any | None:
    """The entity with the values that its row has as far as the session knows, in the middle of a flush and before
    the row is written.

    The entity itself where nothing was changed in memory, else a detached copy, in which is left out what was
    neither loaded nor set. What was overwritten unread is read from the database. None if the row is gone.
    """
    state = inspect(entity)
    if not state.modified:
        missing = [name for name in columns if name not in state.dict]
        try:
            for name in missing:
                getattr(entity, name)
        except ObjectDeletedError:
            return None
        return entity
    of_row = zip(mapper.primary_key, state.identity, strict=True)
    known: dict[str, Any] = {mapper.get_property_by_column(column).key: value for column, value in of_row}
    unknown: list[str] = []
    for name in columns:
        history = get_history(entity, name, PASSIVE_NO_INITIALIZE)
        if history.deleted or history.unchanged:
            known[name] = next(iter(history.deleted or history.unchanged))
        elif history.added:
            unknown.append(name)
    if unknown:
        return locked_before(session, mapper, entity, unknown, known)
    return _with_relationships(mapper, entity, known)


def locked_before(
    session: Session, mapper: Mapper[Any], entity: Any, columns: Collection[str], known: Mapping[str, Any]
) -> Any | None:
    """A detached copy with what is known, and these values of its row, which is locked. None if it is gone."""
    connection = session.connection(bind_arguments={"mapper": mapper})
    key = inspect(entity).identity
    row = stored_rows(connection, mapper, columns, [key], lock="UPDATE").get(key)
    return None if row is None else _with_relationships(mapper, entity, {**known, **row})


def _with_relationships(mapper: Mapper[Any], entity: Any, values: Mapping[str, Any]) -> Any:
    held = inspect(entity).dict
    return detached(mapper, {k: v for k, v in held.items() if k in mapper.relationships} | dict(values))


def complete(before: Any, entity: Any, names: Set[str], stored: Mapping[str, Any]) -> None:
    """Let what `before` is left without, or told wrongly by its session, be as it is now that the row is written
    and the entity complete but for what is `stored` otherwise: what no UPDATE has set was the same before it."""
    known, now = inspect(before).dict, {**inspect(entity).dict, **stored}
    for name in names & now.keys():
        if name in stored or name not in known:
            set_committed_value(before, name, now[name])


def detached(mapper: Mapper[Any], values: Mapping[str, Any]) -> Any:
    """An instance that holds the values given and belongs to no session: what is not given, it cannot load, and
    says so. Its constructor is not called."""
    instance = mapper.class_manager.new_instance()
    for name, value in values.items():
        set_committed_value(instance, name, value)
    make_transient_to_detached(instance)
    return instance
