"""The conformance suite bites: it rejects every mutant of the memory binder, and passes without mutation."""

from __future__ import annotations

import pytest

from streambind.binders.memory import MemoryBinder
from streambind.errors import StreambindError
from streambind.testing import binder_suite
from streambind.testing.binder_suite.bench import Bench
from tests.conformance.memory_harness import MemoryHarness
from tests.conformance.mutants import MUTANTS, Break


class HastyHarness(MemoryHarness):
    """For mutants: what takes longer than this counts as never."""

    within_s = 1.0


class PatientHarness(MemoryHarness):
    """For the binder as it is, however busy the machine."""

    within_s = 60.0


def failure(test: str, harness: MemoryHarness) -> str | None:
    """Run `TestClass.test_name` of the suite against the memory binder; what it says when it fails. Failing is to
    miss what was expected, or to be told by the binder that it went wrong: another exception is a defect of the
    suite, or of a mutant, and proves nothing."""
    owner, name = test.split(".")
    try:
        bench = Bench(harness)
        try:
            getattr(getattr(binder_suite, owner)(), name)(bench)
        finally:
            bench.close()
    except pytest.skip.Exception as skip:
        raise AssertionError(f"{test} was skipped: {skip}") from None
    except (AssertionError, TimeoutError, StreambindError, pytest.fail.Exception) as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize(
    ("break_it", "noticed_by"), MUTANTS.values(), ids=[f"{name}: {test}" for name, (_, test) in MUTANTS.items()]
)
def test_the_suite_rejects(break_it: Break, noticed_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    said = failure(noticed_by, HastyHarness())
    assert said is not None, f"{noticed_by} passes although the binder {break_it.__name__}"


@pytest.mark.parametrize("test", sorted({noticed_by for _, noticed_by in MUTANTS.values()}))
def test_the_same_tests_pass_without_mutation(test: str) -> None:
    assert failure(test, PatientHarness()) is None


def test_a_mutant_that_only_breaks_down_is_not_taken_for_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks_down(self: MemoryBinder, target: object, deliver: object) -> None:
        raise TypeError("no such argument")

    monkeypatch.setattr(MemoryBinder, "bind_consumer", breaks_down)
    with pytest.raises(TypeError, match="no such argument"):
        failure("TestStop.test_an_exception_stops_the_partition", HastyHarness())
