"""The checker accepts a right history and rejects each way of being wrong, by its name."""

from __future__ import annotations

import dataclasses

import pytest

from streambind.testing.chaos import Change, History, Kind, Violation, kinds, violations

A1, A2, A3 = Change(1, "INSERT 1"), Change(1, "UPDATE 2"), Change(1, "DELETE 2")
B1, B2 = Change(2, "INSERT 1"), Change(2, "UPDATE 2")
RIGHT = History(
    committed=[A1, B1, A2, B2, A3],
    effects=[B1, A1, A2, A3, B2],
    counters={1: 3, 2: 2},
    source={2: 2},
    copies={"listener": {2: 2}, "replica": {2: 2}},
)


def test_a_history_is_accepted_when_each_key_is_in_order() -> None:
    assert violations(RIGHT) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param({"effects": [B1, A1, A3, B2], "counters": {1: 2, 2: 2}}, {Kind.LOST}, id="middle-lost"),
        pytest.param({"effects": [B1, A1, A2, B2], "counters": {1: 2, 2: 2}}, {Kind.LOST}, id="last-lost"),
        pytest.param({"effects": [A1, A2, A3], "counters": {1: 3}}, {Kind.LOST}, id="all-of-a-key-lost"),
        pytest.param(
            {"effects": [B1, A1, A2, A2, A3, B2], "counters": {1: 4, 2: 2}}, {Kind.TWICE}, id="twice-at-once"
        ),
        pytest.param(
            {"effects": [B1, A1, A2, A3, B2, A1], "counters": {1: 4, 2: 2}}, {Kind.TWICE}, id="twice-later"
        ),
        pytest.param({"effects": [B1, A2, A1, A3, B2]}, {Kind.ORDER}, id="overtaken"),
        pytest.param(
            {"effects": [B1, A1, A2, A3, B2, Change(3, "INSERT 1")], "counters": {1: 3, 2: 2, 3: 1}},
            {Kind.INVENTED},
            id="rolled-back-key",
        ),
        pytest.param(
            {"effects": [B1, A1, A2, Change(1, "UPDATE -1"), A3, B2], "counters": {1: 4, 2: 2}},
            {Kind.INVENTED},
            id="rolled-back-change",
        ),
        pytest.param({"counters": {1: 3, 2: 3}}, {Kind.HALF}, id="counted-but-not-logged"),
        pytest.param({"counters": {1: 3}}, {Kind.HALF}, id="logged-but-not-counted"),
        pytest.param({"copies": {"listener": {2: 2}, "replica": {2: 1}}}, {Kind.COPY}, id="old-copy"),
        pytest.param({"copies": {"replica": {1: 2, 2: 2}}}, {Kind.COPY}, id="deleted-but-still-there"),
        pytest.param({"outbox": 1}, {Kind.UNSENT}, id="unsent"),
    ],
)
def test_a_history_is_rejected_when_something_is_wrong(change: dict[str, object], kind: set[Kind]) -> None:
    found = violations(dataclasses.replace(RIGHT, **change))  # type: ignore[arg-type]
    assert kinds(found) == kind


def test_a_violation_names_the_item_and_the_change() -> None:
    [found] = violations(dataclasses.replace(RIGHT, effects=[B1, A1, A3, B2], counters={1: 2, 2: 2}))
    assert "item 1" in found.text
    assert "UPDATE 2" in found.text


def test_a_replica_that_logs_nothing_is_judged_by_what_it_holds() -> None:
    kept = dataclasses.replace(RIGHT, effects=None, counters=None)
    assert violations(kept) == []
    [found] = violations(dataclasses.replace(kept, copies={"replica": {}}))
    assert found == Violation(Kind.COPY, "read model replica and source differ: 2: source 2, read model None")


def test_a_history_that_could_show_nothing_wrong_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs effects or copies"):
        History(committed=[A1], source={1: 1})
