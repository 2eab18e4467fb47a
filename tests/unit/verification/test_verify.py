"""`verify` against a model: an honest history always fits, whoever moves meanwhile; a lost event never does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambind.verification import verify as module
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys
from streambind.verification.verdict import WRONG, State
from streambind.verification.verify import Report, verify
from tests.unit.verification.world import RestlessGroup, RestlessSource, World, log_of


def look(world: World, steps: Callable[[], int] = lambda: 0) -> Report:
    source, group = RestlessSource(world, steps), RestlessGroup(world, steps)
    return verify(cast(SourceKeys, source), lambda _: cast(GroupKeys, group), log_of(world, steps), limit=20)


def wrong(report: Report) -> dict[State, int]:
    return {state: report.counts[state] for state in WRONG if report.counts[state]}


@pytest.mark.parametrize("is_compacted", [False, True])
@settings(max_examples=300)
@given(st.data())
def test_an_honest_history_fits_whoever_moves_meanwhile(is_compacted: bool, data: st.DataObject) -> None:
    world = World(lambda n: data.draw(st.integers(0, n - 1)), is_compacted=is_compacted)
    for _ in range(data.draw(st.integers(0, 40))):
        world.step()
    report = look(world, lambda: data.draw(st.integers(0, 4)))
    assert wrong(report) == {}, report.examples
    world.settle()
    assert set(look(world).counts) <= {State.APPLIED}


@settings(max_examples=300)
@given(st.data())
def test_a_lost_event_is_found_by_its_key_and_number(data: st.DataObject) -> None:
    world = World(lambda n: data.draw(st.integers(0, n - 1)))
    for _ in range(30):
        world.step()
    unhandled = [at for at in range(world.position, len(world.log)) if world.log[at] is not None]
    if not unhandled:
        world.commit()
        world.settle()
        assert wrong(look(world)) == {}
        return
    lost = world.log[data.draw(st.sampled_from(unhandled))]
    assert lost is not None
    world.log = [None if at >= world.position and event == lost else event for at, event in enumerate(world.log)]
    world.outbox = [event for event in world.outbox if event != lost]
    world.settle()
    key, seq = lost
    report = look(world)
    if world.guard.get(key, 0) >= seq:
        assert wrong(report) == {}  # it had been applied before it came again
        return
    assert wrong(report) == {State.MISSING: 1}
    (example,) = report.examples[State.MISSING]
    assert (example.key, example.verdict.missing[0][0]) == (key, seq)


def test_the_last_event_of_a_key_is_missed_on_a_compacted_log_too() -> None:
    world = World(is_compacted=True)
    for _ in range(3):
        world.commit()
        world.send()
    world.log[:2] = [None, None]
    assert look(world).counts == {State.ON_TOPIC: 1}
    world.log[2] = None
    report = look(world)
    assert report.counts == {State.MISSING: 1}
    assert report.examples[State.MISSING][0].verdict.missing == ((1, 3),)


def _moves_in_the_middle(monkeypatch: pytest.MonkeyPatch, when: str) -> Report:
    """One event is sent, and handled just when `when` is asked for."""
    world = World()
    world.commit()
    world.send()

    def handle_first(original: Any) -> Any:
        def asked(group: RestlessGroup, *arguments: Any) -> Any:
            world.handle()
            return original(group, *arguments)

        return asked

    monkeypatch.setattr(RestlessGroup, when, handle_first(getattr(RestlessGroup, when)))
    return look(world)


@pytest.mark.parametrize("when", ["positions", "parked", "guarded", "began_within"])
def test_an_event_that_is_handled_in_the_middle_is_not_missed(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    assert wrong(_moves_in_the_middle(monkeypatch, when)) == {}


def test_who_asks_for_the_guard_before_the_positions_misses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    early: dict[bytes, Any] = {}
    guarded = RestlessGroup.guarded
    positions = RestlessGroup.positions

    def first(group: RestlessGroup) -> Any:
        early.update(guarded(group, [b"a"]))
        group._world.handle()
        return positions(group)

    monkeypatch.setattr(RestlessGroup, "positions", first)
    monkeypatch.setattr(RestlessGroup, "guarded", lambda group, keys: early)
    world = World()
    world.commit()
    world.send()
    assert wrong(look(world)) == {State.MISSING: 1}


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 7))
def test_many_keys_are_looked_at_again_in_parts(keys: int, at_once: int) -> None:
    world = World(keys=[b"%03d" % n for n in range(keys)])
    for key in world.keys:
        world.committed[key] = 1
        world.log.append((key, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SECOND_LOOK", at_once)
        assert look(world).counts == {State.ON_TOPIC: keys}
        world.log = [None] * keys
        report = look(world)
    assert report.counts == {State.MISSING: keys}
    assert len(report.examples[State.MISSING]) == min(keys, 20)
