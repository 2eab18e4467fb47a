"""What rows hold that a flush changes: a session that looked at one earlier does not know what others have changed
since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Session, UOWTransaction
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from streambind.outbound.plans import Change, MapperPlan
from streambind.outbound.stored_rows import Key, Lock, stored_rows

Differing = dict[InstanceState[Any], dict[str, Any]]
"""What rows hold otherwise than their objects, by the objects."""


class Updated(NamedTuple):
    """An UPDATE of a flush, and the attributes that it has written."""

    change: Change
    written: frozenset[str]


class _Asked(NamedTuple):
    """A row to be read: for attributes that its object does not hold, and for those in which it may be wrong."""

    key: Key
    missing: frozenset[str]
    unsure: frozenset[str]


class ReadBack:
    """Reads rows that a flush changes while the transaction holds their locks, so that nobody changes them before
    it ends: all of one class together. Objects are left as they are; what one does not hold is loaded into it.

    Nothing is read where an UPDATE has written all that events tell, nor of an object that is known to hold what
    its row holds, because the transaction has inserted the row or read it before. `forget` what is known when
    something else may have written rows, and when locks may be gone.
    """

    def __init__(self) -> None:
        self._known: WeakSet[InstanceState[Any]] = WeakSet()

    def inserted(self, state: InstanceState[Any]) -> None:
        """The transaction has inserted the object's row."""
        self._known.add(state)

    def forget(self) -> None:
        """Nothing is known any more."""
        if self._known:
            self._known.clear()

    def knows(self, session: Session, plan: MapperPlan, state: InstanceState[Any]) -> bool:
        """Whether an object is known to hold what its row holds, but for what was set and not flushed."""
        # Others may work in a transaction that the session has joined.
        return state in self._known and not isinstance(session.get_bind(plan.mapper), Connection)

    def updated(
        self, session: Session, flush: UOWTransaction, plan: MapperPlan, updates: Sequence[Updated]
    ) -> Differing:
        """To be called after the UPDATEs, for all rows of a class; without those that are gone."""
        asked: dict[InstanceState[Any], _Asked] = {}
        for change, written in updates:
            state = instance_state(change.entity)
            missing = plan.missing(state.dict, deferred=change.before is not None)
            unsure = plan.left_alone(state.dict, written)
            if self.knows(session, plan, state):
                unsure = frozenset()
                if change.before is None:
                    missing &= state.expired_attributes  # What was never set is NULL.
            key = tuple(plan.mapper.primary_key_from_instance(change.entity))
            asked[state] = _Asked(key, missing, unsure)
        found = self._compare(session, flush, plan, asked, lock=None)
        for state, differing in found.items():
            if differing:
                self._known.discard(state)
            else:
                self._known.add(state)
        return found

    def to_delete(
        self, session: Session, flush: UOWTransaction, plan: MapperPlan, states: Iterable[InstanceState[Any]]
    ) -> Differing:
        """To be called before the DELETEs; without rows that are gone."""
        asked: dict[InstanceState[Any], _Asked] = {}
        for state in states:
            known = not state.modified and self.knows(session, plan, state)
            asked[state] = _Asked(
                state.identity or (),
                plan.missing(state.dict, deferred=True),
                frozenset() if known else plan.told.intersection(state.dict),
            )
        found = self._compare(session, flush, plan, asked, lock="DELETE")
        for state, differing in found.items():
            of_row = zip(plan.primary_key, asked[state].key, strict=True)
            differing.update({name: value for name, value in of_row if state.dict.get(name) != value})
        return found

    def _compare(
        self,
        session: Session,
        flush: UOWTransaction,
        plan: MapperPlan,
        asked: Mapping[InstanceState[Any], _Asked],
        *,
        lock: Lock | None,
    ) -> Differing:
        wanted = {state: each for state, each in asked.items() if each.missing or each.unsure}
        found: Differing = {state: {} for state in asked if state not in wanted}
        if not wanted:
            return found
        names = frozenset[str]().union(*(each.missing | each.unsure for each in wanted.values()))
        connection = session.connection(bind_arguments={"mapper": plan.mapper})
        keys = [each.key for each in wanted.values()]
        rows = stored_rows(connection, plan.mapper, names, keys, lock=lock)
        for state, each in wanted.items():
            row = rows.get(each.key)
            if row is not None:
                _load(flush, state, {name: row[name] for name in each.missing})
                found[state] = {name: row[name] for name in each.unsure if _differs(state, name, row[name])}
        return found


def _differs(state: InstanceState[Any], name: str, value: Any) -> bool:
    # As the unit of work compares, for types whose comparison is no truth value.
    return state.manager[name].impl.is_equal(value, state.dict[name]) is not True


def _load(flush: UOWTransaction, state: InstanceState[Any], values: Mapping[str, Any]) -> None:
    if not values:
        return
    entity = state.obj()
    for name, value in values.items():
        set_committed_value(entity, name, value)
    # As the unit of work tells of what a statement has returned.
    state.manager.dispatch.refresh_flush(state, flush, list(values))
