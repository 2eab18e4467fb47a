"""What is not said again."""

from __future__ import annotations

from streambind.inbound import repeats
from streambind.inbound.repeats import Repeats


def test_the_same_is_said_again_only_when_the_time_is_over() -> None:
    now = [0.0]
    said = Repeats(10.0, clock=lambda: now[0])

    assert not said.has("a", 1)
    assert not said.has("a", 2)
    now[0] = 9.9
    assert said.has("a", 1)
    now[0] = 10.0
    assert not said.has("a", 1)
    now[0] = 19.9
    assert said.has("a", 1)


def test_memory_is_bounded() -> None:
    said = Repeats(10.0, clock=lambda: 0.0)
    for number in range(repeats._MOST + 1):
        assert not said.has(number)
    assert len(said._said) == repeats._MOST
    assert said.has(repeats._MOST)
    assert not said.has(0)
