"""Whatever several partitions bring, delivered jointly where that goes well it leaves what it leaves when each
partition is delivered by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streambind.binding.binder import Lane
from streambind.inbound import delivery_positions, parked_keys, together
from streambind.inbound.delivery_positions import DatabaseEffects, _Claim
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.together import Together
from streambind.joint_batch import JointBatch
from tests.integration.inbound.logs import PARTITIONS, WANDERER, Course, Left, Round, Write, left_by
from tests.integration.inbound.service import Service

KEYS = [f"{name}{partition}" for name in "ab" for partition in range(PARTITIONS)]
ALWAYS = ["next", "next", "next", "again", "plain", "keyless", "poison", "unreadable", "null"]
PARKED = [*ALWAYS, "skip", "skip", "late", "flaky"]
"""A gap is for parking only, or its partition stops."""
OF_WANDERER = ["next", "next", "again", "skip", "late", "flaky"]
"""Of what has no number, or fails for good, the partitions' order decides what comes first."""


def writes(on_error: str) -> st.SearchStrategy[list[Write]]:
    pick = st.integers(0, 9)
    each = st.tuples(st.sampled_from(PARKED if on_error == "park" else ALWAYS), st.sampled_from(KEYS), pick)
    if on_error == "park":
        each |= st.tuples(st.sampled_from(OF_WANDERER), st.just(WANDERER), pick)
    return st.lists(each, min_size=1, max_size=30)


ROUNDS: st.SearchStrategy[list[Round]] = st.lists(
    st.tuples(
        st.permutations(range(PARTITIONS)), st.lists(st.integers(0, 5), min_size=PARTITIONS, max_size=PARTITIONS)
    ),
    max_size=6,
)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    on_error = draw(st.sampled_from(["park", "park", "skip", "dlq"]))
    faults = st.dictionaries(st.integers(1, 25), st.sampled_from(["refused", "lost"]), max_size=3)
    commit_after_ms = draw(st.sampled_from([1000, 1000, 1]))
    return Course(draw(writes(on_error)), draw(ROUNDS), on_error, draw(faults), commit_after_ms)


def in_all(*steps: str) -> list[Write]:
    return [(step, key, 0) for step in steps for key in KEYS[:PARTITIONS]]


EVERYTHING = Course(
    [
        *[("skip", "b1", 0), ("next", "b1", 0)],
        *in_all("plain", "plain", "plain", "next", "next", "plain", "keyless", "again", "next"),
        *[("next", "a0", 0), ("late", "b1", 0), ("next", "b1", 0)],
        *[("skip", "b2", 0), ("next", "b2", 0), ("skip", "b2", 0), ("next", "b0", 0), ("next", "b2", 0)],
        *[("poison", "a2", 0), ("next", "a2", 0), ("flaky", "b0", 0), ("unreadable", "a1", 0), ("null", "b1", 0)],
        *[("next", WANDERER, 0), ("next", WANDERER, 1), ("next", WANDERER, 0), ("again", WANDERER, 1)],
        *in_all("plain", "next"),
    ],
    [
        ([2, 1, 0], [0, 1, 1]),
        ([0, 1, 2], [3, 3, 2]),
        ([1, 2, 0], [1, 2, 1]),
        ([2, 0, 1], [1, 1, 2]),
        ([1, 0, 2], [2, 1, 1]),
    ],
)
"""Of all a little."""
INSTEAD_OF_PARKING = {"skip": "next", "late": "again", "flaky": "next"}
EVERYTHING_SKIPPED = replace(
    EVERYTHING,
    writes=[
        (INSTEAD_OF_PARKING.get(step, step), key, at) for step, key, at in EVERYTHING.writes if key != WANDERER
    ],
    on_error="skip",
)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not go well together is not left for a while, but tried again each time."""
    monkeypatch.setattr(together, "_LONGEST_S", 0.0)


def _is_in_order(left: Left) -> bool:
    """Whether the numbers of each key rise."""
    numbers = [[n for n in each if n < 1000] for each in left.effects.values()]
    return all(each == sorted(set(each)) for each in numbers)


def check(service: Service, course: Course) -> None:
    jointly = left_by(service, course, jointly=True)
    assert _is_in_order(jointly)
    assert jointly == left_by(service, course, jointly=False)


@pytest.mark.usefixtures("always")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(course=EVERYTHING)
@example(course=EVERYTHING_SKIPPED)
@example(course=replace(EVERYTHING, commit_after_ms=1))
@example(course=replace(EVERYTHING, faults={2: "lost", 5: "refused", 6: "lost"}))
@given(course=courses())
def test_jointly_they_leave_what_they_leave_each_by_itself(every_service: Service, course: Course) -> None:
    check(every_service, course)


def says_it_is_done(mutated: pytest.MonkeyPatch) -> None:
    apply = Together.apply
    mutated.setattr(Together, "apply", lambda self, batch: apply(self, batch) or True)


def does_not_look_whether_all_are_there(mutated: pytest.MonkeyPatch) -> None:
    each = DatabasePositions._each
    mutated.setattr(DatabasePositions, "_each", lambda *given: each(*given) or len(given[-1]) > 1)


def moves_the_first_only(mutated: pytest.MonkeyPatch) -> None:
    stretches = delivery_positions._stretches
    mutated.setattr(delivery_positions, "_stretches", lambda *given: stretches(*given)[:1])


def leaves_its_claims_behind(mutated: pytest.MonkeyPatch) -> None:
    keep = _Claim.keep
    mutated.setattr(_Claim, "keep", lambda self, done: None if len(self._stretches) > 1 else keep(self, done))


def asks_the_first_partition_what_was_not_seen(mutated: pytest.MonkeyPatch) -> None:
    def examined(self: DatabaseEffects, connection: Any, batch: Any, indexes: Any, **given: Any) -> Any:
        lane = Lane(batch.destination, batch.partition)
        assert self._guard is not None
        return self._guard.examine(
            connection, batch, indexes, past=lambda: self._positions.past(connection, lane), **given
        )

    mutated.setattr(DatabaseEffects, "_examine", examined)


def sets_aside_for_the_first_partition(mutated: pytest.MonkeyPatch) -> None:
    mutated.setattr(parked_keys, "part_of", lambda batch, index: (batch, index))


def turns_the_order_of_a_partition(mutated: pytest.MonkeyPatch) -> None:
    init = JointBatch.__init__

    def turned(self: JointBatch, parts: Any) -> None:
        init(self, parts)
        self._messages = [(part, i) for part in self.parts for i in reversed(range(len(part)))]

    mutated.setattr(JointBatch, "__init__", turned)


def forgets_the_last_partition(mutated: pytest.MonkeyPatch) -> None:
    apply = DatabaseEffects.apply

    def applied(self: DatabaseEffects, batch: Any, count: int, *, singly: bool) -> int:
        if isinstance(batch, JointBatch):
            for part in batch.parts[:-1]:
                apply(self, part, len(part), singly=False)
            return count
        return apply(self, batch, count, singly=singly)

    mutated.setattr(DatabaseEffects, "apply", applied)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "mutate",
    [
        says_it_is_done,
        does_not_look_whether_all_are_there,
        moves_the_first_only,
        leaves_its_claims_behind,
        asks_the_first_partition_what_was_not_seen,
        sets_aside_for_the_first_partition,
        turns_the_order_of_a_partition,
        forgets_the_last_partition,
    ],
)
def test_the_test_rejects(sync_service: Service, mutate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as mutated:
        mutate(mutated)
        with pytest.raises(AssertionError):
            check(sync_service, EVERYTHING)
