"""An entity as it was before a flush changes or deletes its row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Mapper, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import get_history, set_committed_value
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE
from sqlalchemy.orm.exc import ObjectDeletedError


def entity_before(session: Session, mapper: Mapper[Any], entity: Any, columns: Collection[str]) -> Any | None:
    """The entity with the values that its row has now, in the middle of a flush and before the row is written.

    The entity itself where nothing was changed in memory, else a detached copy. Values that the session does not
    know, because they were never loaded or were overwritten unread, are read from the database. None if the row
    is gone.
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
    known: dict[str, Any] = {k: v for k, v in state.dict.items() if k in mapper.relationships}
    unknown: list[str] = []
    for name in columns:
        history = get_history(entity, name, PASSIVE_NO_INITIALIZE)
        if history.deleted or history.unchanged:
            known[name] = next(iter(history.deleted or history.unchanged))
        else:
            unknown.append(name)
    if unknown:
        stored = _read(session, mapper, state.identity, unknown)
        if stored is None:
            return None
        known.update(stored)
    return detached(mapper, known)


def complete(session: Session, mapper: Mapper[Any], entity: Any, columns: Collection[str]) -> None:
    """Load what is missing of an entity whose primary key a flush has just changed: until the flush is over, the
    entity would look for itself under the old one."""
    stored = inspect(entity).dict
    missing = [name for name in columns if name not in stored]
    if missing:
        found = _read(session, mapper, mapper.primary_key_from_instance(entity), missing)
        for name, value in (found or {}).items():
            set_committed_value(entity, name, value)


def detached(mapper: Mapper[Any], values: Mapping[str, Any]) -> Any:
    """An instance that holds the values given and belongs to no session: what is not given, it cannot load, and
    says so. Its constructor is not called."""
    instance = mapper.class_manager.new_instance()
    for name, value in values.items():
        set_committed_value(instance, name, value)
    make_transient_to_detached(instance)
    return instance


def _read(session: Session, mapper: Mapper[Any], identity: Any, names: list[str]) -> dict[str, Any] | None:
    columns = [mapper.attrs[name].class_attribute.label(name) for name in names]
    of_row = [column == value for column, value in zip(mapper.primary_key, identity, strict=True)]
    # Inside a flush: autoflush is off by itself.
    row = session.execute(select(*columns).where(*of_row), bind_arguments={"mapper": mapper}).first()
    return None if row is None else dict(row._mapping)
