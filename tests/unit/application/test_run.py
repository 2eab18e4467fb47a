"""A program: `run`, until a signal comes."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

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


def test_what_a_program_consists_of_is_left_out_when_garbage_is_collected(tmp_path: Path) -> None:
    """A collection looks at all that lives, and messages that come and go cause many."""
    (tmp_path / "application.yaml").write_text("streambind: {}")
    program = _Brief(tmp_path, arguments=[])
    try:
        program.run()
    finally:
        gc.unfreeze()

    assert program.frozen > 10_000
