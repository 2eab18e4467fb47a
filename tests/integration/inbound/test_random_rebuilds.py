"""A rebuild against a model: whatever was spoilt, comes meanwhile, or ends it, the table is what was delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, false, insert, select, text, update

from streambind.binding.binder import Lane
from streambind.errors import LifecycleError
from streambind.failpoints import FailpointError
from streambind.persistence import mysql_shadow
from streambind.persistence.dialects import DIALECTS
from streambind.persistence.shadow_table import ShadowTable
from streambind.replicas import comparison
from streambind.replicas import fold as fold_module
from streambind.replicas import rebuild as rebuild_module
from streambind.replicas.fold import Fold
from streambind.replicas.rebuild import Rebuilt
from tests.integration.inbound.replicas import Fitting, Item, Kept, changed, rows, tombstone
from tests.integration.inbound.service import DESTINATION, Service, drain
from tests.integration.inbound.topic import Topic, drop_left
from tests.integration.urls import drivers
from tests.unit.inbound.batches import ListBatch, Record

Rows = dict[int, tuple[str, int, bool]]
"""Name, price and whether it is kept as deleted, of each row."""
Operation = tuple[Any, ...]

POINTS = ("rebuild.after_create", "rebuild.after_batch", "rebuild.before_swap", "rebuild.after_swap")
OUTSIDE = ("rebuild.after_create", "rebuild.after_batch", "before the lock", "rebuild.after_swap")
"""Where no transaction of the rebuild's is open, so that a test of one thread can deliver."""

keys = st.integers(1, 5)
# On MySQL names that differ in this way are equal by their collation.
names = st.sampled_from(["a", "A", "a ", "최종", ""])
events = st.one_of(
    st.tuples(st.just("put"), keys, names, st.integers(0, 2)),
    st.tuples(st.sampled_from(["delete", "tombstone", "unreadable", "again"]), keys),
    st.tuples(st.just("deliver"), st.integers(1, 3)),
)
damages = st.one_of(st.tuples(st.just("spoil"), keys, names), st.tuples(st.sampled_from(["lose", "invent"]), keys))


@dataclass(frozen=True)
class Attempt:
    """One call: where it ends, at which passing, and what happens where it passes."""

    crash: str | None
    passing: int
    traffic: dict[str, list[Operation]]
    options: dict[str, bool]


attempts = st.builds(
    Attempt,
    st.sampled_from([None, *POINTS]),
    st.integers(1, 3),
    st.dictionaries(st.sampled_from(OUTSIDE), st.lists(events, min_size=1, max_size=3), max_size=2),
    st.sampled_from([{}, {}, {"force": True}, {"dry_run": True}, {"restart": True}]),
)


@dataclass(frozen=True)
class Script:
    before: list[Operation]
    damage: list[Operation]
    attempts: list[Attempt]
    after: list[Operation]


def _lists(of: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, max_size=most)


scripts = st.builds(Script, _lists(events, 12), _lists(damages, 4), _lists(attempts, 3), _lists(events, 5))


@dataclass
class World:
    """The log, how far the group is, and two models: the table as it should be, and as it is."""

    service: Service
    entity: Any
    topic: Topic
    numbers: dict[int, int] = field(default_factory=dict)
    published: dict[int, list[Record]] = field(default_factory=dict)
    effects: list[list[Callable[[Rows], None]]] = field(default_factory=lambda: [[], []])
    at: list[int] = field(default_factory=lambda: [0, 0])
    right: Rows = field(default_factory=dict)
    actual: Rows = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    old: Rows | None = None
    """What the table held when it was replaced."""
    differed: tuple[int, int, int] = (0, 0, 0)
    """How much it differed then."""

    def play(self, operation: Operation) -> None:
        """Add to the log, deliver, or change the table past the group."""
        match operation:
            case "put", key, name, price:
                event = changed("UPDATE", key, name, seq=self._next(key), price=price)
                self._publish(key, event, lambda into: self._put(into, key, (name, price, False)))
            case "delete", key:
                self._publish(key, changed("DELETE", key, seq=self._next(key)), lambda into: self._gone(into, key))
            case "tombstone", key:
                self._publish(key, tombstone(str(key), seq=self._next(key)), lambda into: self._gone(into, key))
            case "unreadable", key:
                self._publish(key, changed("RENAME", key, seq=self._next(key)), lambda _: None)
            case "again", key if self.published.get(key):
                self._publish(key, self.published[key][-1], lambda _: None)
            case "deliver", count:
                for partition in (0, 1):
                    self.deliver(partition, count)
            case "spoil", key, name if key in self.actual:
                self._write(update(self.entity).where(self.entity.id == key).values(name=name))
                self.actual[key] = (name, *self.actual[key][1:])
            case "lose", key:
                self._write(delete(self.entity).where(self.entity.id == key))
                self.actual.pop(key, None)
            case "invent", key if key not in self.actual:
                self._write(insert(self.entity).values(id=key, name="invented", price=0))
                self.actual[key] = ("invented", 0, False)

    def deliver(self, partition: int, count: int | None = None) -> None:
        """The next messages of a partition; all of them without `count`."""
        start = self.at[partition]
        records = self.topic.partitions[partition][start:][:count]
        if not records:
            return
        outcomes = drain(self.topic.plan, ListBatch(records, start, DESTINATION, partition))
        assert sum(outcome.done for outcome in outcomes) == len(records), outcomes
        self.at[partition] = start + len(records)
        for effect in self.effects[partition][start : self.at[partition]]:
            effect(self.right)
            effect(self.actual)

    def attempt(self, attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> Rebuilt | None:
        """Call the rebuild once; None if it was ended."""
        self.passed = dict.fromkeys((*OUTSIDE, *POINTS), 0)

        def passes(point: str) -> None:
            self.passed[point] += 1
            if point == "rebuild.after_swap":
                self.differed, self.old, self.actual = self.differences(), self.actual, dict(self.right)
            if self.passed[point] == 1:
                for operation in attempt.traffic.get(point, ()):
                    self.play(operation)
            if point == attempt.crash and self.passed[point] == attempt.passing:
                raise FailpointError(point)

        shadow_of = self.service.database.dialect.shadow_of
        make_room = shadow_of.make_room

        def makes_room(shadow: ShadowTable, connection: Connection) -> None:
            make_room(shadow, connection)
            connection.commit()
            passes("before the lock")

        with monkeypatch.context() as patch:
            for module in (rebuild_module, fold_module):
                patch.setattr(module, "failpoint", passes)
            patch.setattr(shadow_of, "make_room", makes_room)
            try:
                return self.topic.rebuild(skip_unreadable=True, **attempt.options)
            except FailpointError:
                return None

    def table(self) -> Rows:
        return _rows(self.service, self.entity.__tablename__, self.entity is Kept)

    def kept(self) -> Rows:
        return _rows(self.service, f"sb_old_{self.entity.__tablename__}", self.entity is Kept)

    def differences(self) -> tuple[int, int, int]:
        """Missing, extra and wrong ones."""
        extra = [key for key in self.actual.keys() - self.right.keys() if not self.actual[key][2]]
        both = self.right.keys() & self.actual.keys()
        wrong = [key for key in both if self.right[key] != self.actual[key]]
        return len(self.right.keys() - self.actual.keys()), len(extra), len(wrong)

    def _next(self, key: int) -> int:
        self.numbers[key] = self.numbers.get(key, 0) + 1
        return self.numbers[key]

    def _publish(self, key: int, record: Record, effect: Callable[[Rows], None]) -> None:
        self.topic.partitions[key % 2].append(record)
        self.published.setdefault(key, []).append(record)
        self.effects[key % 2].append(effect)

    def _put(self, rows: Rows, key: int, row: tuple[str, int, bool]) -> None:
        if self.entity is Fitting and row[1] == 2:
            self._gone(rows, key)
        else:
            rows[key] = row

    def _gone(self, rows: Rows, key: int) -> None:
        if self.entity is not Kept:
            rows.pop(key, None)
        elif key in rows:
            rows[key] = (*rows[key][:2], True)

    def _write(self, statement: Any) -> None:
        self.service.database.run(lambda connection: connection.execute(statement))


def _rows(service: Service, table: str, is_kept: bool) -> Rows:
    mark = "CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END" if is_kept else "0"
    found = rows(service, text(f"SELECT id, name, price, {mark} FROM {table}"))
    return {key: (name, price, bool(gone)) for key, name, price, gone in found}


def _world(service: Service, entity: Any, few: int) -> World:
    drop_left(service)
    tables = service.database.tables
    service.database.run(lambda c: [c.execute(delete(each)) for each in (entity, tables.position, tables.guard)])
    topic = Topic(service, service.plan(entity, on_error="skip", max_attempts=1))
    topic.few = few
    return World(service, entity, topic)


def _play(service: Service, entity: Any, few: int, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "_FEW", few - 1)
    world = _world(service, entity, few)
    for operation in (*script.before, ("deliver", 2), *script.damage):
        world.play(operation)
    calls = iter((*script.attempts, Attempt(None, 1, {}, {"force": True})))
    while world.old is None:
        _call(world, next(calls), monkeypatch)
    _is_replaced(world, script.after)


def _call(world: World, attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says, and what is in the table then, is what the models say."""
    done = world.attempt(attempt, monkeypatch)
    assert world.table() == world.actual
    if done is None:
        return
    found, expected = done.difference, world.differences() if world.old is None else world.differed
    assert (found.missing, found.extra, found.wrong) == expected
    is_held_back = attempt.options.get("dry_run") or (found.extra and not attempt.options.get("force"))
    assert done.swapped is (world.old is not None) is not bool(is_held_back)


def _is_replaced(world: World, after: list[Operation]) -> None:
    """The old table is kept until it is confirmed, while the group goes on; then nothing is left."""
    assert world.old is not None
    topic, database = world.topic, world.service.database
    # Of an empty table that was replaced nothing is kept on MySQL, if the command was ended just then.
    if is_told := bool(world.old) or database.dialect.name != "mysql":
        with pytest.raises(LifecycleError, match="confirm first"):
            topic.rebuild(skip_unreadable=True)
        assert world.kept() == world.old
    for operation in (*after, ("deliver", None)):
        world.play(operation)
    assert world.table() == world.actual == world.right
    if is_told:
        assert world.kept() == world.old
        assert topic.rebuilding().confirm()
        assert topic.tables() == set()
        assert world.service.count(database.tables.position) == 2
    assert topic.difference(skip_unreadable=True).is_none


_ANY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("any_service", ["sqlite"], indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=_ANY, database=None)
@given(entity=st.sampled_from([Item, Kept, Fitting]), few=st.integers(1, 4), script=scripts)
def test_the_table_is_what_was_delivered(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, entity: Any, few: int, script: Script
) -> None:
    _play(any_service, entity, few, script, monkeypatch)


@settings(max_examples=10, deadline=None, suppress_health_check=_ANY, database=None)
@given(entity=st.sampled_from([Item, Kept, Fitting]), few=st.integers(1, 4), script=scripts)
def test_the_table_is_what_was_delivered_on_every_database(
    every_service: Service, monkeypatch: pytest.MonkeyPatch, entity: Any, few: int, script: Script
) -> None:
    _play(every_service, entity, few, script, monkeypatch)


# Mutants


def _folds_nothing_at_the_last_moment(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fold_module.Fold, "_join", lambda *_: None)


def _keeps_positions_of_a_table_that_it_drops(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fold_module.Fold, "forget", lambda *_: None)


def _moves_without_writing(patch: pytest.MonkeyPatch) -> None:
    """A batch is committed after its position: a crash in between loses it."""
    step = fold_module.Fold._step

    def ahead(self: Fold, lane: Lane, at: int, goal: int) -> int | None:
        self._database.run(lambda connection: self._moved(connection, lane, at, at + 1))
        return step(self, lane, at + 1, goal) if at + 1 < goal else at + 1

    patch.setattr(fold_module.Fold, "_step", ahead)


def _does_not_look_for_rows_that_would_be_lost(patch: pytest.MonkeyPatch) -> None:
    nothing = select(Item.id).where(false())
    patch.setattr(comparison.Comparison, "extra", lambda _: nothing)


def _keeps_no_old_rows(patch: pytest.MonkeyPatch) -> None:
    for shadow_of in {dialect.shadow_of for dialect in DIALECTS.values()}:
        patch.setattr(shadow_of, "swap", _keeping_no_old_rows(shadow_of.swap))


def _keeping_no_old_rows(swap: Callable[..., None]) -> Callable[..., None]:
    def swapped(shadow: ShadowTable, connection: Connection, *, rows: int) -> None:
        swap(shadow, connection, rows=rows)
        connection.exec_driver_sql(f"DELETE FROM {shadow.kept_name} WHERE id = 1")

    return swapped


def _compares_as_the_collation_does(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mysql_shadow, "_is_same", lambda one, other, is_text: f"{one} <=> {other}")


_FILLED = [("put", 1, "a", 1), ("put", 2, "b", 1), ("put", 3, "a", 1), ("deliver", 3)]
_LATER = {"before the lock": [("put", 1, "b", 2), ("deliver", 1)]}
_DRY = Attempt(None, 1, {}, {"dry_run": True})
_AGAIN = Attempt(None, 1, {}, {"restart": True})

MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Script]] = {
    "folds nothing at the last moment": (
        _folds_nothing_at_the_last_moment,
        Script(_FILLED, [], [Attempt(None, 1, _LATER, {})], []),
    ),
    "keeps positions of a table that it drops": (
        _keeps_positions_of_a_table_that_it_drops,
        Script(_FILLED, [], [_DRY, _AGAIN], []),
    ),
    "moves without writing": (_moves_without_writing, Script(_FILLED, [], [], [])),
    "does not look for rows that would be lost": (
        _does_not_look_for_rows_that_would_be_lost,
        Script(_FILLED, [("invent", 5)], [Attempt(None, 1, {}, {})], []),
    ),
    "keeps no old rows": (_keeps_no_old_rows, Script(_FILLED, [], [], [])),
}


@pytest.mark.parametrize(("break_it", "script"), MUTANTS.values(), ids=MUTANTS)
def test_a_rebuild_is_rejected_that(
    sync_service: Service,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
    script: Script,
) -> None:
    _play(sync_service, Item, 1, script, monkeypatch)
    break_it(monkeypatch)
    with pytest.raises((AssertionError, LifecycleError)):
        _play(sync_service, Item, 1, script, monkeypatch)


@pytest.mark.parametrize("any_service", drivers("mysql+pymysql"), indirect=True)
def test_an_exchange_is_rejected_that_takes_texts_for_equal_as_collations_do(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(_FILLED, [("spoil", 1, "A")], [], [])
    _play(any_service, Item, 1, script, monkeypatch)
    _compares_as_the_collation_does(monkeypatch)
    with pytest.raises(AssertionError):
        _play(any_service, Item, 1, script, monkeypatch)
