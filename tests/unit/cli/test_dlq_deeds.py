"""What was done is said, however it ends."""

from __future__ import annotations

import pytest

from streambind.cli.dlq_deeds import Deeds, reported


def _interrupted(deeds: Deeds) -> None:
    deeds.done["replayed"] = 7
    raise KeyboardInterrupt


def test_who_is_interrupted_is_told_what_was_done_until_then(capsys: pytest.CaptureFixture[str]) -> None:
    deeds = Deeds(dry_run=False, rate=None)
    with pytest.raises(KeyboardInterrupt), reported(deeds, False):
        _interrupted(deeds)
    assert "until then: 7 letters replayed" in capsys.readouterr().err


@pytest.mark.parametrize("left_alone", ["superseded", "looping", "full", "foreign"])
def test_what_needs_a_decision_is_exit_code_1(left_alone: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, reported(Deeds(dry_run=False, rate=None), False) as deeds:
        deeds.done[left_alone] = 1
    assert end.value.code == 1
    assert "left alone" in capsys.readouterr().out
