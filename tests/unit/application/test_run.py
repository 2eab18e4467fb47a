"""A program: `run`, until a signal comes."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.application import StreamApplication


class _Brief(StreamApplication):
    """Is told to end as soon as it runs."""

    frozen = 0

    def start(self, *, relay_only: bool = False) -> None:
        super().start(relay_only=relay_only)
        signal.raise_signal(signal.SIGTERM)

    def stop(self, timeout_ms: int | None = None) -> None:
        self.frozen = gc.get_freeze_count()
        super().stop(timeout_ms)


@pytest.fixture(autouse=True)
def collector_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture
def program(tmp_path: Path) -> _Brief:
    (tmp_path / "application.yaml").write_text("streambind: {}")
    return _Brief(tmp_path, arguments=[])


def test_what_a_program_consists_of_is_left_out_when_garbage_is_collected(program: _Brief) -> None:
    """A collection looks at all that lives, and messages that come and go cause many."""
    program.run()
    assert program.frozen > 10_000


def test_a_batch_of_events_is_not_taken_for_garbage(program: _Brief) -> None:
    gc.set_threshold(700, 11, 12)
    program.run()
    assert gc.get_threshold() == (10_000, 11, 12)


@pytest.mark.parametrize("young", [0, 50_000])
def test_what_the_service_has_made_of_the_collector_stays(program: _Brief, young: int) -> None:
    gc.set_threshold(young, 11, 12)
    program.run()
    assert gc.get_threshold() == (young, 11, 12)
