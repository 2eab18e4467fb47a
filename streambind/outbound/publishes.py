"""`@publishes`: marks an entity's class, so that its changes become events of a binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from streambind.errors import UncapturedChangeError
from streambind.event import EntityEvent
from streambind.outbound.captured_session import captured_session
from streambind.outbound.flush_changes import FlushChanges, recording
from streambind.outbound.permits import is_suppressed
from streambind.outbound.publication import Build, KeyOf, Publication, mark, publications_of

Entity = TypeVar("Entity")

_Watcher = Callable[[Mapper[Any], Connection, InstanceState[Any]], Any]

_ARMED = "__streambind_armed__"


def publishes(
    binding: str,
    event: type[EntityEvent],
    *,
    key: KeyOf | None = None,
    build: Build | None = None,
) -> Callable[[type[Entity]], type[Entity]]:
    """Publish every committed change of the class, and of the classes mapped below it, to an output binding.

    The event's fields are read from attributes of the same name. `build` makes the payload instead: it gets the
    entity and the job and returns the payload, or None to leave this change out. The key is the primary key
    unless `key` gives a coarser one. A class may be published several times; a subclass that is published to
    the same binding replaces what it inherits. The class need not be mapped yet.

    A mark, with one effect: from now on a flush of the class in a session that no application captures raises
    UncapturedChangeError.
    """

    def decorate(cls: type[Entity]) -> type[Entity]:
        mark(Publication(cls, binding, event, key, build))
        arm(cls)
        return cls

    return decorate


def arm(cls: type) -> None:
    """Watch the flushes of a class and its subclasses, mapped now or later. Idempotent."""
    if _ARMED not in cls.__dict__:
        setattr(cls, _ARMED, True)
        for name, watcher in _WATCHERS.items():
            # Raw, and with a result: else a wrapper of SQLAlchemy's is called for every row.
            sqlalchemy_event.listen(cls, name, watcher, propagate=True, raw=True, retval=True)


def _recorder(record: Callable[[FlushChanges, Mapper[Any], InstanceState[Any]], None]) -> _Watcher:
    def watch(mapper: Mapper[Any], _: Connection, state: InstanceState[Any]) -> Any:
        if changes := _changes(mapper, state):
            record(changes, mapper, state)
        return EXT_CONTINUE

    return watch


_WATCHERS: dict[str, _Watcher] = {
    "before_insert": _recorder(FlushChanges.before_insert),
    "before_update": _recorder(FlushChanges.before_update),
    "before_delete": _recorder(FlushChanges.before_delete),
    "after_insert": _recorder(FlushChanges.after_insert),
    "after_update": _recorder(FlushChanges.after_update),
    "after_delete": _recorder(FlushChanges.after_delete),
}


def _changes(mapper: Mapper[Any], state: InstanceState[Any]) -> FlushChanges | None:
    """Who records a change; None if it is meant to stay silent. After the first row of a flush it is known.

    Raises:
        UncapturedChangeError: nobody does.
    """
    return recording(state.session_id) or _first_change(mapper, state)


def _first_change(mapper: Mapper[Any], state: InstanceState[Any]) -> FlushChanges | None:
    session = state.session
    if session is None:
        return None
    captured = captured_session(session)
    if captured is None:
        if is_suppressed(session):
            return None
        bindings = ", ".join(p.binding for p in publications_of(mapper.class_))
        raise UncapturedChangeError(
            f"{mapper.class_.__name__} is published to {bindings}, but this session belongs to no streambind "
            "application: the event would be lost. Use a session of the application's sessionmaker "
            "(`stream.sessions`, or the one that StreamApplication(database=...) was given), and build the "
            "application first; if no event is meant, write `with suppress_events(session):`"
        )
    if captured.is_suppressed:
        return None
    captured.changes.record(session.hash_key)
    return captured.changes
