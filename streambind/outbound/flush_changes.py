"""The changes of one flush, from the mappers' events: the only source that sees all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import get_history, instance_state
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE
from sqlalchemy.sql import ClauseElement

from streambind.event import JobType
from streambind.outbound.before import complete, entity_before
from streambind.outbound.plans import Change, MapperPlan, Plans

_RECORDING: dict[int | None, FlushChanges] = {}

recording: Callable[[int | None], FlushChanges | None] = _RECORDING.get
"""The changes of the flush that is writing rows of a session, by the session's id, once `record` was called for
it: each row leads there by one look-up."""


class FlushChanges:
    """Collects what one flush changes, in the order in which rows are written.

    Whether an update changed anything is decided at the end, when foreign keys are filled in; what a row was
    before must be looked at before it is written.
    """

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._changes: list[tuple[MapperPlan, Change]] = []
        self._before: dict[InstanceState[Any], Any] = {}
        self._computed: set[InstanceState[Any]] = set()
        self._session_id: int | None = None

    def record(self, session_id: int) -> None:
        """Collect what the flush of a session changes, until `clear`."""
        self._session_id = session_id
        _RECORDING[session_id] = self

    def clear(self) -> None:
        """Forget everything: the flush is over."""
        if self._session_id is not None:
            _RECORDING.pop(self._session_id, None)
            self._session_id = None
            self._changes = []
            self._before = {}
            self._computed = set()

    def take(self, session: Session) -> Iterator[tuple[MapperPlan, Change]]:
        """The net changes."""
        for plan, change in self._changes:
            if change.job is not JobType.UPDATE or self._changed(plan, change):
                if change.before is not None:
                    complete(session, plan.mapper, change.entity, plan.needed)
                yield plan, change

    def before_insert(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """
        Raises:
            CaptureError: the class is published, but not by this application.
        """
        plan, stored = self._plans.of(mapper), state.dict
        for name in plan.primary_key:
            if stored.get(name) is None:
                return
        session, entity = _session_of(state), state.obj()
        replaced = session.identity_map.get(mapper.identity_key_from_instance(entity))
        if replaced is not None and replaced is not entity:
            # Deleted and added under the same primary key in one flush: the unit of work sends one UPDATE.
            self._before[state] = entity_before(session, instance_state(replaced).mapper, replaced, plan.columns)
            self._computed.add(state)

    def before_update(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """
        Raises:
            CaptureError: the class is published, but not by this application.
        """
        plan, stored = self._plans.of(mapper), state.dict
        # A value that the database computes is forgotten once it is written, and with it that there was a change.
        for name in state.committed_state:
            value = stored.get(name)
            if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
                self._computed.add(state)
        if plan.own_keys or tuple(stored.get(name) for name in plan.primary_key) != state.identity:
            self._before[state] = entity_before(_session_of(state), mapper, state.obj(), plan.columns)

    def before_delete(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """
        Raises:
            CaptureError: the class is published, but not by this application.
        """
        plan = self._plans.of(mapper)
        self._before[state] = entity_before(_session_of(state), mapper, state.obj(), plan.needed)

    def after_insert(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """
        Raises:
            CaptureError: the class is published, but not by this application.
        """
        self._add(self._plans.of(mapper), JobType.INSERT, state.obj())

    def after_update(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """An update that may turn out to be none."""
        self._add(self._plans.of(mapper), JobType.UPDATE, state.obj(), self._before.get(state))

    def after_delete(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """A delete; none if the row was gone before."""
        before = self._before.get(state)
        if before is not None:
            self._add(self._plans.of(mapper), JobType.DELETE, before)

    def _add(self, plan: MapperPlan, job: JobType, entity: Any, before: Any | None = None) -> None:
        # A class whose parent is published too may be watched twice.
        if self._changes:
            last = self._changes[-1][1]
            if last.entity is entity and last.job is job:
                return
        self._changes.append((plan, Change(job, entity, before)))

    def _changed(self, plan: MapperPlan, change: Change) -> bool:
        state = instance_state(change.entity)
        if state in self._computed:
            return True
        names = plan.columns & state.committed_state.keys()
        return any(get_history(change.entity, n, PASSIVE_NO_INITIALIZE).has_changes() for n in names)


def _session_of(state: InstanceState[Any]) -> Session:
    session = state.session
    if session is None:
        raise RuntimeError("a flush writes a row of an object that is in no session")
    return session
