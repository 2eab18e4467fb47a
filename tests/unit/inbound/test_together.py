"""How long joint batches are left after one that did not go well."""

from __future__ import annotations

import logging

import pytest

from streambind.inbound.failure import AttemptEnded, NotTogether, TooLong, Unattributed
from streambind.inbound.together import Together
from streambind.joint_batch import JointBatch
from streambind.message import Batch
from tests.unit.inbound.batches import batch_of
from tests.unit.inbound.scripted import ScriptedEffects


@pytest.mark.parametrize(
    ("error", "waits_s"), [(NotTogether("a gap"), (0.05, 0.1)), (TooLong("slow"), (2.5, 5.0))], ids=["gap", "slow"]
)
def test_what_takes_long_is_left_for_longer(error: AttemptEnded, waits_s: tuple[float, float]) -> None:
    effects, now_s = ScriptedEffects(raising=[error]), 0.0
    together = Together("in-things", effects, clock=lambda: now_s)
    joint = JointBatch([batch_of(b"a"), batch_of(b"b")])

    assert not together.apply(joint)
    now_s = waits_s[0] - 0.01
    assert not together.apply(joint)
    assert effects.applied == []
    now_s = waits_s[1]
    assert together.apply(joint)
    assert effects.applied == [b"a", b"b"]


def test_what_took_long_long_ago_does_not_count() -> None:
    effects, now_s = ScriptedEffects(raising=[TooLong("slow") for _ in range(4)]), 0.0
    together = Together("in-things", effects, clock=lambda: now_s)
    joint = JointBatch([batch_of(b"a"), batch_of(b"b")])

    for at_s in (0.0, 5.0, 15.0):
        now_s = at_s
        assert not together.apply(joint)
    now_s = 24.9
    assert not together.apply(joint)
    assert len(effects.raising) == 1
    now_s = 620.0
    assert not together.apply(joint)
    assert effects.raising == []
    now_s = 625.0
    assert together.apply(joint)


def test_a_short_pause_does_not_end_a_longer_one() -> None:
    """Two threads have tried at the same time."""
    now_s = 0.0
    together = Together("in-things", ScriptedEffects(), clock=lambda: now_s)
    joint = JointBatch([batch_of(b"a"), batch_of(b"b")])

    class Inner(ScriptedEffects):
        def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
            together._effects = ScriptedEffects(raising=[TooLong("slow")])
            assert not together.apply(joint)
            raise NotTogether("a gap")

    together._effects = Inner()
    assert not together.apply(joint)
    together._effects = effects = ScriptedEffects()
    now_s = 2.0
    assert not together.apply(joint)
    assert effects.applied == []


def test_what_lasts_is_told_once_and_why(caplog: pytest.LogCaptureFixture) -> None:
    """Deliveries are slower then; a failure that is over at once is its own message's to tell."""
    caplog.set_level(logging.INFO)
    effects, now_s = ScriptedEffects(raising=[Unattributed(ValueError("swapped")) for _ in range(9)]), 0.0
    together = Together("in-things", effects, clock=lambda: now_s)
    joint = JointBatch([batch_of(b"a"), batch_of(b"b")])

    together.apply(joint)
    assert caplog.messages == []
    while effects.raising:
        now_s += 10
        together.apply(joint)
    assert caplog.messages == [
        "in-things: partitions are delivered each by itself for a while, which takes longer: ValueError: swapped "
        "(said once in 5 min)"
    ]
    effects.raising.append(TooLong("its handlers take long"))
    now_s += 300
    together.apply(joint)
    assert "TooLong: its handlers take long" in caplog.messages[1]
