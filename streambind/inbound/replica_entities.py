"""A replica's events applied to entities of a session: for a class that is published in turn, so that capture sees
each change."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from streambind.inbound.arrival import Arrival
from streambind.inbound.handler_session import session_of
from streambind.inbound.replica_events import ReplicaEvents
from streambind.inbound.replica_plan import ReplicaPlan, Row


class ReplicaEntities:
    """The replica of a published class: message by message, as a handler would do it."""

    def __init__(self, plan: ReplicaPlan, events: ReplicaEvents) -> None:
        self._plan = plan
        self._events = events

    def apply(self, arrival: Arrival) -> None:
        """Change what the message says, and flush.

        Raises:
            MessageFailed: the message cannot be read.
            Exception: whatever session and database say.
        """
        session = session_of(arrival.session)
        key, row = self._events.read(arrival)
        found = self._found(session, key)
        if row is not None:
            self._set(session, found, row)
        elif found is not None:
            self._remove(session, found, arrival.batch.timestamp_ms(arrival.index))
        session.flush()

    def _found(self, session: Session, key: Row) -> Any | None:
        plan = self._plan
        is_row = (column == value for column, value in zip(plan.key, key, strict=True))
        return session.scalars(select(plan.mark.declared_on).where(*is_row)).one_or_none()

    def _set(self, session: Session, found: Any | None, row: Row) -> None:
        entity = self._plan.mapper.class_manager.new_instance() if found is None else found
        for name, value in zip(self._plan.attributes, row, strict=True):
            setattr(entity, name, value)
        session.add(entity)

    def _remove(self, session: Session, entity: Any, timestamp_ms: int) -> None:
        plan = self._plan
        if not plan.cleared:
            session.delete(entity)
        for name, value in zip(plan.cleared_attributes, plan.cleared_at(timestamp_ms), strict=False):
            setattr(entity, name, value)
