"""How long batches are handled with caution after a failure."""

from __future__ import annotations

from streambind.inbound.caution import Caution


def _lasts(caution: Caution) -> int:
    """For how many batches it is due from now on."""
    count = 0
    while caution.is_due:
        caution.passed()
        count += 1
    return count


def test_nothing_is_due_before_a_failure() -> None:
    assert _lasts(Caution()) == 0


def test_it_ends_and_lasts_longer_from_failure_to_failure() -> None:
    caution = Caution()
    lengths = []
    for _ in range(12):
        caution.learn()
        lengths.append(_lasts(caution))
    assert lengths == [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096, 4096]


def test_failures_long_ago_do_not_count() -> None:
    caution = Caution()
    for _ in range(3):
        caution.learn()
        _lasts(caution)
    for _ in range(200):
        caution.passed()
    caution.learn()
    assert _lasts(caution) == 16
