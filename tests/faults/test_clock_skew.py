"""Clocks of hosts that are an hour off, ahead and behind, and jump: leases and retries go by the database's.

A relay whose clock is an hour ahead dies with its leases; one whose clock is an hour behind takes over at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from streambind.testing.eventually import eventually
from tests.faults.world import World

KILLED_WITHIN_S = 30.0
WITHIN_S = 60.0
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


class Clock:
    """One of a host's, which differs from the machine's by as many seconds as its file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {"CLOCK_OFFSET_FILE": str(file)}

    def differ_by(self, hours: int) -> None:
        """At once, also for processes that run."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(str(hours * 3600))
        partial.rename(self._file)


FAILING = {"FAILING": "0.1", "MAX_ATTEMPTS": "1", "MASS_FAILURE_KEYS": "1000"}
"""Handlers fail at random: keys are parked and tried again, at times that some clock tells."""


@ON_REAL_SERVERS
def test_every_change_has_one_effect_when_clocks_are_wrong_and_jump(fresh: World, tmp_path: Path) -> None:
    out, into = Clock(tmp_path / "out"), Clock(tmp_path / "into")
    into.differ_by(1)
    killed = fresh.effects(STREAMBIND_FAILPOINTS="delivery.in_handler=kill@3", **FAILING, **into.environment)
    out.differ_by(1)
    fresh.source(40, STREAMBIND_FAILPOINTS="relay.after_select=kill@2", **out.environment).wait_for_kill(
        KILLED_WITHIN_S
    )
    out.differ_by(-1)
    source = fresh.source(0, **out.environment)
    killed.wait_for_kill(KILLED_WITHIN_S)
    into.differ_by(-1)
    effects = fresh.effects(**FAILING, **into.environment)
    for hours in (1, -1, 0):
        for clock in (out, into):
            clock.differ_by(hours)
        before = fresh.handled()
        eventually(lambda: fresh.handled() > before + 20, WITHIN_S, lambda: source.tail() + effects.tail())  # noqa: B023
    source.stop()
    fresh.wait_until_drained(effects)
    effects.stop()
    assert "consumer.on-error: park" in effects.log.read_text()
    assert fresh.broken_promises() == []
