"""kill -9 of a publishing service between commit and deletion from the outbox: no event is lost or invented."""

from __future__ import annotations

import pytest

from streambind.testing.chaos import Kind, kinds
from tests.acceptance.services import ServiceProcess
from tests.faults.world import World

CHANGES = 40
KILLED_WITHIN_S = 30.0

POINTS = [
    "capture.before_rows=kill@9",
    "capture.after_rows=kill@9",
    "capture.after_commit=kill@9",
    "relay.after_select=kill@2",
    "relay.after_ack=kill@2",
    "relay.after_delete=kill@2",
]
AFTER_COMMIT = {"SPRING_CLOUD_STREAM_BINDINGS_OUTITEMS_PRODUCER_PUBLISH": "after-commit"}
NO_GUARD = {"SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER_SEQUENCE": "ignore"}
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@ON_REAL_SERVERS
@pytest.mark.parametrize("point", POINTS)
def test_each_change_has_one_effect_when_the_source_is_killed(fresh: World, point: str) -> None:
    effects = fresh.effects()
    fresh.source(CHANGES, STREAMBIND_FAILPOINTS=point).wait_for_kill(KILLED_WITHIN_S)
    _finish(fresh, effects)
    assert fresh.broken_promises() == []
    assert fresh.committed() == CHANGES


def test_each_change_has_one_effect_when_the_source_is_killed_again_and_again(fresh: World) -> None:
    for number, point in enumerate(POINTS, start=1):
        fresh.source(number * CHANGES, STREAMBIND_FAILPOINTS=point).wait_for_kill(KILLED_WITHIN_S)
    _finish(fresh, fresh.effects(), changes=len(POINTS) * CHANGES)
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_what_was_sent_twice_is_handled_once(fresh: World) -> None:
    _kill_after_ack(fresh)
    _finish(fresh, fresh.effects())
    assert fresh.records() > CHANGES, "the killed relay left no duplicates: the test proves nothing"
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_a_listener_without_the_guard(fresh: World) -> None:
    _kill_after_ack(fresh)
    _finish(fresh, fresh.effects(**NO_GUARD))
    assert Kind.TWICE in kinds(fresh.broken_promises())


@ON_REAL_SERVERS
def test_the_checker_rejects_events_that_are_sent_after_the_commit_without_an_outbox(fresh: World) -> None:
    killed = fresh.source(CHANGES, STREAMBIND_FAILPOINTS="capture.after_commit=kill@9", **AFTER_COMMIT)
    killed.wait_for_kill(KILLED_WITHIN_S)
    assert fresh.source(CHANGES, **AFTER_COMMIT).wait_for_end(KILLED_WITHIN_S) == 0
    effects = fresh.effects()
    fresh.wait_until_drained(effects)
    effects.stop()
    assert Kind.LOST in kinds(fresh.broken_promises())


def _kill_after_ack(fresh: World) -> None:
    """Kill the relay when the broker has messages that are still in the outbox."""
    fresh.source(CHANGES, STREAMBIND_FAILPOINTS="relay.after_ack=kill@2").wait_for_kill(KILLED_WITHIN_S)


def _finish(fresh: World, effects: ServiceProcess, changes: int = CHANGES) -> None:
    """Let the source finish undisturbed, and everything arrive."""
    source = fresh.source(changes)
    assert source.wait_for_end(60.0) == 0, source.tail()
    fresh.wait_until_drained(effects)
    effects.stop()
