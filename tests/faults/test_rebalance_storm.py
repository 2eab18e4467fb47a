"""Members join the group and leave it all the time: nothing is lost or doubled, and it goes on."""

from __future__ import annotations

import pytest

from streambind.testing.chaos.faults import join_and_leave
from streambind.testing.eventually import eventually
from tests.faults.world import REPLICA, World

MEMBERS = 15
WITHIN_S = 60.0
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")
PROTOCOL = "SPRING_CLOUD_STREAM_KAFKA_BINDINGS_INITEMS_CONSUMER_CONFIGURATION_GROUP_PROTOCOL"


@ON_REAL_SERVERS
@pytest.mark.parametrize(
    ("protocol", "listener"),
    [
        pytest.param("classic", {}, id="classic"),
        pytest.param("consumer", {}, id="consumer"),
        pytest.param("classic", REPLICA, id="replica"),
    ],
)
def test_every_change_has_one_effect_in_a_rebalance_storm(
    fresh: World, protocol: str, listener: dict[str, str]
) -> None:
    source = fresh.source(0)
    listeners = [fresh.effects(name, **{PROTOCOL: protocol}, **listener) for name in ("first", "second")]
    eventually(lambda: fresh.handled() > 0, WITHIN_S, listeners[0].tail)
    for _ in range(MEMBERS):
        join_and_leave(fresh.stage.brokers, fresh.group, fresh.topic, protocol=protocol)
    before = fresh.handled()
    eventually(lambda: fresh.handled() > before, WITHIN_S, lambda: "\n".join(each.tail() for each in listeners))
    source.stop()
    fresh.wait_until_drained(*listeners)
    for each in listeners:
        each.stop()
    assert fresh.broken_promises() == []
