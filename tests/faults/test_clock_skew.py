"""Clocks of hosts that are an hour off, ahead and behind, and jump: leases and retries go by the database's.

A writer, two relays and two listeners have a clock each. A relay whose clock is an hour ahead dies with its
leases; others, ahead and behind, take over at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from streambind.testing.eventually import eventually
from tests.faults.world import World

WITHIN_S = 60.0
HOUR_S = 3_600
TURNS = 5
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")
FAILING = {"FAILING": "0.1", "MAX_ATTEMPTS": "1", "MASS_FAILURE_KEYS": "1000"}
"""Handlers fail at random: keys are parked and tried again, at times that some clock tells."""
NO_RELAY = {"STREAMBIND_OUTBOX_RELAY": "false"}


class Clock:
    """One of a host's, which differs from the machine's by as many seconds as its file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {"CLOCK_OFFSET_FILE": str(file)}

    def differ_by(self, seconds: int) -> None:
        """At once, also for processes that run."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(str(seconds))
        partial.rename(self._file)


@pytest.fixture
def clocks(tmp_path: Path) -> dict[str, Clock]:
    return {
        name: Clock(tmp_path / name) for name in ("writer", "relay", "other-relay", "listener", "other-listener")
    }


@pytest.mark.timeout(300)
@ON_REAL_SERVERS
def test_every_change_has_one_effect_when_clocks_are_wrong_and_jump(
    fresh: World, clocks: dict[str, Clock]
) -> None:
    on = {name: clock.environment for name, clock in clocks.items()}
    _turn(clocks, 1)
    fresh.create_topic(4)
    writer = fresh.source(0, **NO_RELAY, **on["writer"])
    dying = fresh.effects("dying", STREAMBIND_FAILPOINTS="delivery.in_handler=kill@3", **FAILING, **on["listener"])
    fresh.relay("dying-relay", STREAMBIND_FAILPOINTS="relay.after_select=kill@2", **on["relay"]).wait_for_kill(
        WITHIN_S
    )
    _turn(clocks, 2)
    relays = [fresh.relay(name, **on[name]) for name in ("relay", "other-relay")]
    dying.wait_for_kill(WITHIN_S)
    listeners = [fresh.effects(name, **FAILING, **on[name]) for name in ("listener", "other-listener")]
    running = [writer, *relays, *listeners]
    for turn in range(TURNS):
        _turn(clocks, turn)
        before = fresh.handled()
        eventually(
            lambda: fresh.handled() > before + 20,  # noqa: B023
            WITHIN_S,
            lambda: "\n".join(each.tail() for each in running),
        )
    writer.stop()
    fresh.wait_until_drained(*relays, *listeners)
    for service in (*relays, *listeners):
        service.stop()
    assert any("consumer.on-error: park" in service.log.read_text() for service in listeners)
    assert fresh.broken_promises() == []


def _turn(clocks: dict[str, Clock], turn: int) -> None:
    """Each clock jumps: ahead, behind, right, and each of them elsewhere."""
    for number, clock in enumerate(clocks.values()):
        clock.differ_by(((turn + number) % 3 - 1) * HOUR_S)
