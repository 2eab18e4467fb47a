"""How long joint batches are left after one that did not go well."""

from __future__ import annotations

import pytest

from streambind.inbound.failure import AttemptEnded, NotTogether, TooLong
from streambind.inbound.together import Together
from streambind.joint_batch import JointBatch
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
