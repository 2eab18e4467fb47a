"""What was done is said, however it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from streambind.cli.dlq_deeds import Deeds, reported
from streambind.cli.dlq_desk import Taken
from streambind.configuration.properties import DeadLetterFormat
from streambind.inbound.dead_letter import Failure, dead_letter
from streambind.inbound.letter import read_letter
from streambind.message import Message


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


def test_of_letters_that_are_taken_nothing_is_kept_but_what_failed() -> None:
    """There may be many, and stack traces are long."""
    failed = Message(b"{}", b"k", destination="t", partition=0, offset=7)
    record = dead_letter(failed, Failure(ValueError("x"), 1, 1), form=DeadLetterFormat.SPRING_KAFKA, group="g")
    taken = Taken(cast("Any", None))
    taken.add(cast("Any", SimpleNamespace(parked=None, letter=read_letter(record))))
    (letter,) = taken.letters
    assert (letter.message.payload, letter.message.offset) == (b"{}", 7)
    assert (letter.stands.payload, letter.cause.stack_trace) == (None, "")
