"""What is said when streams do not settle: what stands still, and whether anything moves."""

from __future__ import annotations

from streambind.testing.settling import Look, report_unsettled


def _seen(end: int, *lags: str) -> Look:
    return Look(list(lags), [], {"a": {0: end, 1: 1}})


def test_only_what_every_last_look_saw_is_named() -> None:
    last = [_seen(3, "in-a is at 1", "out-a: 1 message waits to be sent"), _seen(3, "in-a is at 1")]
    assert report_unsettled(_seen(0), _seen(3), last) == "  in-a is at 1"


def test_what_moves_is_told_from_what_stands_still() -> None:
    last = [_seen(5, "in-a is at 4", "in-b is at 0"), _seen(6, "in-a is at 5", "in-b is at 0")]
    assert report_unsettled(_seen(2), _seen(5), last).splitlines() == [
        "  in-b is at 0",
        "  still moving: 4 messages since it began to wait; do listeners send in a circle?",
    ]


def test_what_is_never_the_same_and_brings_no_message_is_named_as_it_is_last() -> None:
    assert report_unsettled(_seen(2), _seen(2), [_seen(2, "x is waiting"), _seen(2, "x is at 1")]) == "  x is at 1"
    assert "too slow" in report_unsettled(_seen(2), _seen(2), [_seen(2), _seen(2)])
