"""kill -9 of a listening service at every statement of parking and of trying again: one effect per event."""

from __future__ import annotations

import pytest

from streambind.testing.chaos import Kind, kinds
from tests.faults.world import WRITTEN, World

KILLED_WITHIN_S = 30.0
FAILING = {"LISTENER": "fails-unless-parked", "MAX_ATTEMPTS": "1"}
FAILING_REPLICA = FAILING | {"LISTENER": "replica-fails-unless-parked"}
BOTH = pytest.mark.parametrize("failing", [FAILING, FAILING_REPLICA], ids=["listener", "replica"])

PARKING = ["after_key", "after_message", "after_commit", "after_set_aside"]
TRYING_AGAIN = ["after_claim", "after_begin", "after_handler", "after_delete", "before_commit", "after_retry"]
POINTS = [f"parking.{point}=kill@2" for point in (*PARKING, *TRYING_AGAIN)]

ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@BOTH
@pytest.mark.parametrize("point", POINTS)
@ON_REAL_SERVERS
def test_each_event_has_one_effect_when_a_service_that_parks_is_killed(
    reading: World, point: str, failing: dict[str, str]
) -> None:
    reading.effects(STREAMBIND_FAILPOINTS=point, **failing).wait_for_kill(KILLED_WITHIN_S)
    assert reading.handled() < WRITTEN
    assert reading.torn() == []
    again = reading.effects(**failing)
    reading.wait_until_drained(again)
    again.stop()
    assert reading.broken_promises() == []


@BOTH
def test_two_services_that_park_are_killed_again_and_again(reading: World, failing: dict[str, str]) -> None:
    """What one of them has parked, the other one tries again."""
    for point in ("after_set_aside", "after_claim", "after_handler", "after_delete", "before_commit"):
        other = reading.effects(**failing)
        killed = reading.effects(STREAMBIND_FAILPOINTS=f"parking.{point}=kill@1", **failing)
        other.kill()
        killed.wait_for_kill(KILLED_WITHIN_S)
    again = [reading.effects(**failing) for _ in range(2)]
    reading.wait_until_drained(*again)
    for service in again:
        service.stop()
    assert reading.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_a_position_that_moves_before_its_message_is_parked(reading: World) -> None:
    """Without numbers: with them the message's successors would wait for it for ever."""
    mutant = FAILING | {"LISTENER": "position-before-parking", "SEQUENCE": "ignore"}
    killed = reading.effects(STREAMBIND_FAILPOINTS="parking.after_key=kill@1", **mutant)
    killed.wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects(**mutant)
    reading.wait_until_drained(again)
    again.stop()
    assert Kind.LOST in kinds(reading.broken_promises())
