"""The conformance suite bites: it rejects every mutant of the memory binder, and passes without mutation."""

from __future__ import annotations

import pytest

from streambind.testing import binder_suite
from streambind.testing.binder_suite.bench import Bench
from tests.conformance.memory_harness import MemoryHarness
from tests.conformance.mutants import MUTANTS, Break


class HastyHarness(MemoryHarness):
    """What takes longer than this counts as never."""

    within_s = 1.0


def failure(test: str) -> str | None:
    """Run `TestClass.test_name` of the suite against the memory binder; what it says when it fails."""
    owner, name = test.split(".")
    try:
        bench = Bench(HastyHarness())
        try:
            getattr(getattr(binder_suite, owner)(), name)(bench)
        finally:
            bench.close()
    except pytest.skip.Exception as skip:
        raise AssertionError(f"{test} was skipped: {skip}") from None
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whichever way the test fails
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize(
    ("break_it", "noticed_by"), MUTANTS.values(), ids=[f"{name}: {test}" for name, (_, test) in MUTANTS.items()]
)
def test_the_suite_rejects(break_it: Break, noticed_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert failure(noticed_by) is not None, f"{noticed_by} passes although the binder {break_it.__name__}"


@pytest.mark.parametrize("test", sorted({noticed_by for _, noticed_by in MUTANTS.values()}))
def test_the_same_tests_pass_without_mutation(test: str) -> None:
    assert failure(test) is None
