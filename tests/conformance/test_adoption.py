"""What a broker or a harness cannot do is skipped, by name; what it can do is not."""

from __future__ import annotations

import pytest

from streambind.binders.memory import MemoryBinder
from streambind.binding.binder import Capabilities
from streambind.testing import binder_suite
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.eventually import eventually
from tests.conformance.memory_harness import MemoryHarness


class BareHarness(MemoryHarness):
    abilities = frozenset()


def test_a_missing_ability_is_named() -> None:
    bench = Bench(BareHarness())
    with pytest.raises(pytest.skip.Exception, match="outages"):
        bench.break_broker()
    bench.close()


@pytest.mark.parametrize("name", ["fencing", "positions", "partitions", "admin", "groups"])
def test_a_missing_capability_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryBinder, "capabilities", Capabilities(**{name: False}))
    bench = Bench(MemoryHarness())
    with pytest.raises(pytest.skip.Exception, match=name):
        bench.needs(name)
    bench.close()


def test_nothing_that_is_offered_is_skipped() -> None:
    bench = Bench(MemoryHarness())
    bench.needs(*MemoryHarness.abilities, "fencing", "positions", "partitions", "admin", "groups")
    bench.close()


def test_every_test_class_is_exported() -> None:
    classes = {
        name
        for module in (
            "delivery",
            "fencing",
            "groups",
            "inspection",
            "joint",
            "lifecycle",
            "outcomes",
            "positions",
            "sending",
        )
        for name in vars(getattr(binder_suite, module))
        if name.startswith("Test")
    }
    assert classes <= set(binder_suite.__all__)


def test_eventually_returns_when_the_condition_holds() -> None:
    answers = [False, False, True]
    eventually(lambda: answers.pop(0), 5, "never")
    assert answers == []


def test_eventually_says_what_is_known_when_the_time_is_over() -> None:
    tries: list[int] = []
    with pytest.raises(AssertionError, match=r"not within 0\.02 s: tried \d+ times"):
        eventually(lambda: tries.append(1), 0.02, lambda: f"tried {len(tries)} times")
