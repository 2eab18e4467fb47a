"""A listening service stands still for longer than its session, with a batch in memory, and goes on as if nothing
had happened: what it still does is refused."""

from __future__ import annotations

import pytest

from streambind.testing.chaos import Kind, kinds
from streambind.testing.eventually import eventually
from tests.acceptance.services import ServiceProcess
from tests.faults.world import REPLICA, World

CHANGES = 60
FROZEN_WITHIN_S = 40.0
WITHIN_S = 60.0
IN_MEMORY = "delivery.after_poll=stop@2"
IN_TRANSACTION = "delivery.in_handler=stop@2"
IN_REPLICA = "replica.after_upsert=stop@2"
SHORT_TRANSACTIONS = {"STREAMBIND_DATASOURCE_TRANSACTIONTIMEOUT": "2s"}
NO_GUARD = {"SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER_SEQUENCE": "ignore"}
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@ON_REAL_SERVERS
@pytest.mark.parametrize(
    ("point", "refusal", "settings"),
    [
        pytest.param(IN_MEMORY, "by another owner", {}, id="in-memory"),
        pytest.param(IN_MEMORY, "by another owner", NO_GUARD, id="in-memory-without-guard"),
        pytest.param(IN_TRANSACTION, "25P03", {**NO_GUARD, **SHORT_TRANSACTIONS}, id="in-transaction"),
        pytest.param(IN_MEMORY, "by another owner", REPLICA, id="replica-in-memory"),
        pytest.param(IN_REPLICA, "25P03", {**REPLICA, **SHORT_TRANSACTIONS}, id="replica-in-transaction"),
    ],
)
def test_a_batch_of_somebody_who_stood_still_is_fenced(
    fresh: World, point: str, refusal: str, settings: dict[str, str]
) -> None:
    """By the position, or by PostgreSQL, which has ended the transaction."""
    frozen, other = _overtaken(fresh, point, **settings)
    assert fresh.broken_promises() == []
    frozen.thaw()
    eventually(lambda: refusal in frozen.log.read_text(), WITHIN_S, frozen.tail)
    fresh.wait_until_drained(other)
    for service in (frozen, other):
        service.stop()
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_positions_that_move_wherever_they_stand(fresh: World) -> None:
    """With the guard on, it would not show: the guard knows the numbers of what was applied."""
    mutant = {**NO_GUARD, "LISTENER": "position-unconditional"}
    frozen, _ = _overtaken(fresh, IN_MEMORY, **mutant)
    assert fresh.broken_promises() == []
    frozen.thaw()
    eventually(lambda: Kind.TWICE in kinds(fresh.broken_promises()), WITHIN_S, frozen.tail)


def _overtaken(fresh: World, point: str, **settings: str) -> tuple[ServiceProcess, ServiceProcess]:
    """One that stands still at the point, and another one that has handled everything meanwhile."""
    assert fresh.source(CHANGES).wait_for_end(WITHIN_S) == 0
    frozen = fresh.effects("frozen", STREAMBIND_FAILPOINTS=point, **settings)
    eventually(lambda: frozen.is_frozen, FROZEN_WITHIN_S, frozen.tail)
    assert fresh.handled() < CHANGES
    other = fresh.effects("other", **settings)
    fresh.wait_until_drained(other)
    return frozen, other
