"""Many instances, many accidents, the effects of one: and the mutants that the same checker must reject."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from streambind.binding.binder import Lane
from streambind.binding.outcome import Outcome
from streambind.inbound import handling
from streambind.inbound.delivery import Delivery
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.handling import Handled, Handling
from streambind.inbound.parked_keys import ParkedKeys
from streambind.inbound.parked_queues import ParkedKey, ParkedQueues
from streambind.inbound.positions import DatabasePositions
from tests.integration.inbound.fleet import Faults, Fleet, SteppedDatabase

pytestmark = pytest.mark.timeout(600)
"""Some tests are hundreds of runs; on a busy machine they take minutes."""

STEPS = 120
SEEDS = range(12)

QUIET_RELAY = Faults(repeats=0)


@pytest.fixture(scope="module")
def database() -> Iterator[SteppedDatabase]:
    database = SteppedDatabase()
    yield database
    database.dispose()
    database.loop.close()


def wrong_seeds(database: SteppedDatabase, faults: Faults, **settings: Any) -> list[int]:
    return [seed for seed in SEEDS if Fleet(database, seed, faults=faults, **settings).run(STEPS)]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_every_event_has_its_effect_once_and_in_order(database: SteppedDatabase, seed: int) -> None:
    assert Fleet(database, seed, faults=Faults()).run(STEPS) == []


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_parked_keys_keep_effects_and_order(database: SteppedDatabase, seed: int) -> None:
    assert Fleet(database, seed, faults=Faults(fails=0.2), parks=True).run(STEPS) == []


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_events_that_stray_to_another_partition_wait_for_their_predecessors(
    database: SteppedDatabase, seed: int
) -> None:
    assert Fleet(database, seed, faults=Faults(fails=0.1, strays=0.3), parks=True).run(STEPS) == []


def test_parked_keys_keep_effects_and_order_without_numbers(database: SteppedDatabase) -> None:
    assert wrong_seeds(database, Faults(repeats=0, fails=0.2, zombie=0.9), sequence="ignore", parks=True) == []


class Unsteady:
    """A clock by which some messages take long, and most do not."""

    def __init__(self) -> None:
        self._chance = random.Random(7)

    def monotonic(self) -> float:
        return self._chance.random() * 2


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), strays=st.sampled_from([0.0, 0.3]))
def test_batches_that_are_cut_keep_effects_and_order(database: SteppedDatabase, seed: int, strays: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handling, "time", Unsteady())
        assert Fleet(database, seed, faults=Faults(fails=0.1, strays=strays), parks=True).run(STEPS) == []


def test_the_checker_rejects_batches_that_are_cut_and_count_as_whole(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Handling.run

    def run(self: Handling, *arguments: Any, end: int | None = None, **named: Any) -> Handled:
        handled = original(self, *arguments, end=end, **named)
        return handled if end is None else handled._replace(done=end)

    monkeypatch.setattr(handling, "time", Unsteady())
    monkeypatch.setattr(Handling, "run", run)
    assert len(wrong_seeds(database, Faults(repeats=0, fails=0.1), parks=True)) >= 6


def test_the_checker_rejects_later_messages_that_are_not_set_aside(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ParkedKeys, "waiting", lambda *_: [])
    faults = Faults(repeats=0, fails=0.2)
    assert len(wrong_seeds(database, faults, sequence="ignore", parks=True)) >= 6


def test_the_checker_rejects_a_worker_that_takes_the_newest_first(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = ParkedQueues._in

    def newest(self: ParkedQueues, parked: ParkedKey) -> Any:
        return ordered(self, parked).order_by(self._message.c.id.desc())

    monkeypatch.setattr(ParkedQueues, "_in", newest)
    faults = Faults(repeats=0, fails=0.2)
    assert len(wrong_seeds(database, faults, sequence="ignore", parks=True)) >= 6


def test_the_position_alone_is_enough_while_the_log_holds_each_event_once(database: SteppedDatabase) -> None:
    assert wrong_seeds(database, Faults(repeats=0, zombie=0.9), sequence="ignore") == []


def test_the_checker_rejects_positions_that_move_without_comparing(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the guard off: it would hide the mutant."""

    def move(self: DatabasePositions, connection: Connection, lane: Lane, expected: int, target: int) -> bool:
        connection.execute(update(self._table).where(self._is(lane)).values(next_offset=target))
        return True

    monkeypatch.setattr(DatabasePositions, "move", move)

    assert len(wrong_seeds(database, Faults(repeats=0, zombie=0.9), sequence="ignore")) >= 6


def test_the_checker_rejects_positions_that_move_outside_the_transaction(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DatabaseEffects.apply

    def apply(self: DatabaseEffects, batch: Any, count: int, *, singly: bool) -> int:
        done = original(self, batch, count, singly=singly)
        # A second transaction for the position, lost in a crash: here it is never written.
        self._database.run(
            lambda c: c.execute(
                update(self._positions._table)
                .where(self._positions._is(Lane(batch.destination, batch.partition)))
                .values(next_offset=batch.position)
            )
        )
        return done

    monkeypatch.setattr(DatabaseEffects, "apply", apply)

    fleet = Fleet(database, 1, faults=QUIET_RELAY, sequence="ignore")
    with pytest.raises(AssertionError, match="never at its end"):
        fleet.run(STEPS)


def test_the_checker_rejects_a_guard_that_is_off(database: SteppedDatabase) -> None:
    assert len(wrong_seeds(database, Faults(), sequence="ignore")) == len(SEEDS)


def test_the_checker_rejects_broker_offsets_for_effects_in_a_database(database: SteppedDatabase) -> None:
    assert len(wrong_seeds(database, Faults(repeats=0, fails=0), broker_offsets=True)) >= 6


def test_the_checker_rejects_a_delivery_that_acknowledges_what_raised(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(self: Delivery, batch: Any, failure: Any, state: Any) -> Outcome:
        self._effects.pass_over(batch, failure.index, None)
        return Outcome(failure.index + 1)

    monkeypatch.setattr(Delivery, "_decide", decide)

    assert len(wrong_seeds(database, Faults(), sequence="ignore")) >= 6
    assert len(wrong_seeds(database, QUIET_RELAY)) >= 6


def test_the_checker_rejects_a_delivery_that_commits_past_a_failure(
    database: SteppedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Delivery._decide

    def decide(self: Delivery, batch: Any, failure: Any, state: Any) -> Outcome:
        outcome = original(self, batch, failure, state)
        return Outcome(len(batch), outcome.then)

    monkeypatch.setattr(Delivery, "_decide", decide)

    assert wrong_seeds(database, Faults(repeats=0, fails=0.2), broker_offsets=True)
