"""The changes of one flush, from the mappers' events: the only source that sees all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import InstanceState, Mapper, Session, UOWTransaction
from sqlalchemy.orm.attributes import get_history, instance_state
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE
from sqlalchemy.sql import ClauseElement

from streambind.event import JobType
from streambind.outbound.before import complete, entity_before, locked_before
from streambind.outbound.plans import Change, MapperPlan, Plans
from streambind.outbound.read_back import Differing, ReadBack, Updated

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
        self.read_back = ReadBack()
        self._changes: list[tuple[MapperPlan, Change]] = []
        self._before: dict[InstanceState[Any], Any] = {}
        self._computed: set[InstanceState[Any]] = set()
        self._to_delete: Differing = {}
        self._looked_at: set[InstanceState[Any]] = set()
        self._flush: UOWTransaction | None = None
        self._session_id: int | None = None

    def begin(self, flush: UOWTransaction) -> None:
        """A flush begins."""
        self.clear()
        self._flush = flush

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
            self._to_delete = {}
            self._looked_at = set()
            self._flush = None

    def take(self, session: Session, flush: UOWTransaction) -> list[tuple[MapperPlan, Change]]:
        """The net changes, and what the rows of the updated objects hold now."""
        net: list[tuple[MapperPlan, Change]] = []
        updates: dict[MapperPlan, list[Updated]] = {}
        for plan, change in self._changes:
            if change.job is JobType.UPDATE:
                written = self._written(plan, change)
                if not written and instance_state(change.entity) not in self._computed:
                    continue
                updates.setdefault(plan, []).append(Updated(change, written))
            elif change.job is JobType.INSERT:
                self.read_back.inserted(instance_state(change.entity))
            net.append((plan, change))
        stored = dict(self._to_delete)
        for plan, of_plan in updates.items():
            stored.update(self.read_back.updated(session, flush, plan, of_plan))
        return [(plan, _as_stored(plan, change, stored)) for plan, change in net] if stored else net

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
            session, entity = _session_of(state), state.obj()
            before = entity_before(session, mapper, entity, plan.columns)
            is_known = before is None or self.read_back.knows(session, plan, state)
            if plan.own_keys and not is_known and plan.moves(before, entity):
                # Others may have moved it already: there it must be deleted, not where the session saw it.
                before = locked_before(session, mapper, entity, plan.columns, {})
            self._before[state] = before

    def before_delete(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """
        Raises:
            CaptureError: the class is published, but not by this application.
        """
        if state in self._looked_at:
            return
        plan, flush = self._plans.of(mapper), self._flush
        if flush is None:
            raise RuntimeError("a row is deleted in a flush that has not begun")
        states = {state} | {
            other
            for other, (is_deleted, is_listed_only) in flush.states.items()
            if is_deleted and not is_listed_only and other.manager.mapper is mapper
        }
        states -= self._looked_at
        self._looked_at |= states
        self._to_delete.update(self.read_back.to_delete(_session_of(state), flush, plan, states))

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
        if state in self._to_delete:
            self._add(self._plans.of(mapper), JobType.DELETE, state.obj())

    def _add(self, plan: MapperPlan, job: JobType, entity: Any, before: Any | None = None) -> None:
        # A class whose parent is published too may be watched twice.
        if self._changes:
            last = self._changes[-1][1]
            if last.entity is entity and last.job is job:
                return
        self._changes.append((plan, Change(job, entity, before)))

    def _written(self, plan: MapperPlan, change: Change) -> frozenset[str]:
        """What an UPDATE has set, as far as it is a net change that is remembered."""
        names = plan.columns & instance_state(change.entity).committed_state.keys()
        return frozenset(n for n in names if get_history(change.entity, n, PASSIVE_NO_INITIALIZE).has_changes())


def _as_stored(plan: MapperPlan, change: Change, stored: Differing) -> Change:
    values = stored.get(instance_state(change.entity), {})
    if change.before is not None and change.before is not change.entity:
        complete(change.before, change.entity, plan.columns, values)
    return change._replace(stored=values) if values else change


def _session_of(state: InstanceState[Any]) -> Session:
    session = state.session
    if session is None:
        raise RuntimeError("a flush writes a row of an object that is in no session")
    return session
