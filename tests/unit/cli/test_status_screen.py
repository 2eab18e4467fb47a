"""A health document as a screen."""

from __future__ import annotations

from typing import Any

import pytest

from streambind.cli import output
from streambind.cli.status_screen import behind_text, health_screen


def _shown(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    output.show(health_screen("http://here/health", document))
    return capsys.readouterr().out


INPUT = {
    "name": "in-a",
    "direction": "in",
    "status": "down",
    "state": "running",
    "destination": "a",
    "group": "g",
    "assigned": ["a[0]", "a[1]"],
    "behind_s": 3.2,
    "stalled": {"a[1]": "cannot be handled"},
    "retrying": {"a[0]": "again in 2 s"},
    "last_error": "KeyError: 'x'",
    "counts": {"handled": 12, "retried": 2, "skipped": 0, "last_error": None},
}


def test_bindings_partitions_reasons_and_counts_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        " ".join(text.split()) for text in _shown({"status": "down", "bindings": [INPUT]}, capsys).splitlines()
    ]
    assert lines[0] == "down http://here/health"
    assert lines[3] == "in-a down running a g a[0], a[1] 3 s handled 12, retried 2"
    assert lines[5:] == [
        "in-a a[1] stalled: cannot be handled",
        "in-a a[0] retrying: again in 2 s",
        "in-a last error: KeyError: 'x'",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.34, "340 ms"), (75, "1 min 15 s"), (None, "unknown"), (1e999, "unknown")],
)
def test_how_far_behind_is_told_or_unknown(seconds: float | None, text: str) -> None:
    assert behind_text(seconds) == text


def test_an_outbox_says_how_long_it_waits_and_what_is_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    outbox = {"status": "down", "relay": "running", "backlog": 3, "oldest_age_ms": 184_000, "blocked": 1}
    shown = _shown({"status": "down", "bindings": [], "outbox": outbox}, capsys)
    assert "outbox  down  relay running, 3 messages waiting, the oldest 3 min 4 s old" in shown
    assert "1 key blocked" in shown


def test_an_application_that_does_not_run_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not run" in _shown({"status": "down", "running": False, "bindings": []}, capsys)


@pytest.mark.parametrize(
    "document",
    [
        {"bindings": [{}, 7, None, {"stalled": 3, "counts": [], "assigned": {}}], "outbox": {}},
        {"bindings": [{"name": "\x1b[2J", "last_error": "\x1b]0;x\x07", "state": {"\x9b": 1}}], "outbox": 5},
        {"bindings": [], "outbox": {"last_error": "\x1b[2J", "backlog": "\x1b", "oldest_age_ms": "x"}},
    ],
)
def test_an_odd_or_hostile_document_does_no_harm(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _shown({"status": "up", **document}, capsys)
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_parked_and_dead_keys_are_shown_with_what_waits_behind_them(capsys: pytest.CaptureFixture[str]) -> None:
    parked = {"keys": 2, "gaps": 1, "dead": 1, "messages": 7, "oldest_ms": 184_000}
    shown = " ".join(_shown({"status": "degraded", "bindings": [INPUT | {"parked": parked}]}, capsys).split())
    behind = "7 messages behind all parked keys, the oldest for 3 min 4 s"
    gap = "(1 for a missing predecessor: streambind verify)"
    assert f"in-a parked: 2 keys {gap}, tried again; {behind}: streambind dlq ls TARGET in-a dead" in shown
    remedy = "mend the cause (streambind dlq ls TARGET), then streambind dlq retry TARGET, or skip"
    assert f"in-a dead: 1 key, not tried again; {behind}: {remedy}" in shown
