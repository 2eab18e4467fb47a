"""Replicas and what the numbers of events tell: stale ones, a missing one, two that claim the same number."""

from __future__ import annotations

import pytest

from streambind.message import Message
from streambind.testing.chaos import Kind, kinds
from streambind.testing.eventually import eventually
from tests.faults.rewritten import Rewritten, forged
from tests.faults.source import ITEMS
from tests.faults.world import REPLICA, World

CHANGES = 60
WITHIN_S = 60.0
NO_GUARD = {"SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER_SEQUENCE": "ignore"}

pytestmark = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


def test_stale_events_change_nothing_after_a_rebalance(fresh: World) -> None:
    """The numbers are in the database: whoever takes over knows them. Who stood still meanwhile is fenced."""
    log = Rewritten(fresh, CHANGES)
    log.append(log.records)
    frozen = fresh.effects("frozen", STREAMBIND_FAILPOINTS="delivery.after_poll=stop@2", **REPLICA)
    eventually(lambda: frozen.is_frozen, WITHIN_S, frozen.tail)
    other = fresh.effects("other", **REPLICA)
    fresh.wait_until_drained(other)
    log.append(log.of_keys(0))
    fresh.wait_until_drained(other)
    assert fresh.broken_promises() == []
    frozen.thaw()
    eventually(lambda: "by another owner" in frozen.log.read_text(), WITHIN_S, frozen.tail)
    for service in (frozen, other):
        service.stop()
    assert fresh.broken_promises() == []


def test_what_follows_a_missing_event_waits_for_it(fresh: World) -> None:
    log = Rewritten(fresh, CHANGES)
    late = log.of_keys(1)
    log.append(record for record in log.records if record not in late)
    effects = fresh.effects(**REPLICA)
    fresh.wait_until_drained(effects, parked=CHANGES - 2 * ITEMS)
    assert fresh.history().copies["copy"] == dict.fromkeys(range(1, ITEMS + 1), 1)
    log.append(late)
    fresh.wait_until_drained(effects)
    effects.stop()
    assert fresh.broken_promises() == []


def test_an_event_that_claims_a_number_that_was_applied_stops_the_partition(fresh: World) -> None:
    log = Rewritten(fresh, CHANGES)
    log.append(log.records)
    effects = fresh.effects(**REPLICA)
    fresh.wait_until_drained(effects)
    log.append(_forks(log))
    eventually(lambda: "SequenceForkError" in effects.log.read_text(), WITHIN_S, effects.tail)
    effects.stop()
    assert fresh.handled() == CHANGES
    assert fresh.broken_promises() == []


@pytest.mark.parametrize("case", ["stale", "late", "forged"])
def test_the_checker_rejects_a_replica_that_does_not_look_at_numbers(fresh: World, case: str) -> None:
    log = Rewritten(fresh, CHANGES)
    late = log.of_keys(1) if case == "late" else []
    last = {"stale": log.of_keys(0), "late": late, "forged": _forks(log)}[case]
    log.append(record for record in log.records if record not in late)
    log.append(last)
    effects = fresh.effects(**REPLICA, **NO_GUARD)
    fresh.wait_until_drained(effects)
    effects.stop()
    assert Kind.COPY in kinds(fresh.broken_promises())


def _forks(log: Rewritten) -> list[Message]:
    """Of each key one that claims the last number, and says what the first event said."""
    return [forged(last, first.payload) for first, last in zip(log.of_keys(0), log.of_keys(-1), strict=True)]
