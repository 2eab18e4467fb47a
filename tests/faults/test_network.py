"""The network between the services and the broker fails for a while, in ways of which nobody is told.

The broker runs in a network namespace of its own; packets to and fro are carried by `tests.faults.network`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, server_databases
from tests.faults.network import GONE, Namespace, Way
from tests.faults.outage import outlast
from tests.faults.world import World, world
from tests.services import FreshDatabases, KafkaBroker, ServiceUnavailable
from tests.services.missing import cannot

WITHIN_S = 60.0
COMMITS = 400
"""So many are made while the broker is out of reach: some seconds, longer than sessions and leases."""
POOR = Way(loss=0.05, delay_s=0.3), Way(loss=0.05)
SOME = 40
"""So many effects come about over a poor network while it is poor."""


@pytest.fixture
def network() -> Iterator[Namespace]:
    made = Namespace()
    try:
        made.make()
    except (OSError, subprocess.CalledProcessError) as error:
        made.remove()
        cannot(f"no network namespace with a tun device can be made, which needs root and iproute2: {error}")
    yield made
    made.remove()


@pytest.fixture
def parted(network: Namespace, postgres: FreshDatabases, services: Services) -> Iterator[World]:
    """A world whose broker is behind the wire."""
    broker = KafkaBroker(host=network.address, within=network.within)
    try:
        broker.start()
    except ServiceUnavailable as missing:
        cannot(str(missing))
    with (
        server_databases(postgres) as new_database,
        world(Stage(broker.address, new_database), services) as made,
    ):
        yield made
    broker.discard()


def _requests_vanish(network: Namespace) -> None:
    network.there = GONE


def _answers_vanish(network: Namespace) -> None:
    """Requests are heard: what was sent is in the log, and who sent it does not know."""
    network.back = GONE


@pytest.mark.parametrize("fail", [Namespace.part, _requests_vanish, _answers_vanish])
def test_all_arrives_when_the_network_was_gone(
    parted: World, network: Namespace, fail: Callable[[Namespace], None]
) -> None:
    source, effects = parted.source(0), parted.effects()
    eventually(lambda: parted.handled() > 0, WITHIN_S, effects.tail)
    fail(network)
    outlast(parted.committed, COMMITS, source.tail)
    handled = parted.handled()
    network.heal()
    eventually(lambda: parted.handled() > handled, WITHIN_S, lambda: source.tail() + effects.tail())
    source.stop()
    parted.wait_until_drained(effects)
    effects.stop()
    assert parted.broken_promises() == []


def test_events_flow_over_a_network_that_loses_packets_and_is_slow(parted: World, network: Namespace) -> None:
    source, effects = parted.source(0), parted.effects()
    eventually(lambda: parted.handled() > 0, WITHIN_S, effects.tail)
    network.there, network.back = POOR
    outlast(parted.handled, SOME, lambda: source.tail() + effects.tail())
    network.heal()
    source.stop()
    parted.wait_until_drained(effects)
    effects.stop()
    assert parted.broken_promises() == []


@pytest.mark.timeout(240)
def test_events_flow_again_when_their_connections_were_forgotten(parted: World, network: Namespace) -> None:
    """Nobody is told, so that clients wait for their own time-outs."""
    impatient = {"SOCKET_TIMEOUT_MS": "6000"}
    source, effects = parted.source(0, **impatient), parted.effects(**impatient)
    eventually(lambda: parted.handled() > 0, WITHIN_S, effects.tail)
    network.forget_connections()
    handled = parted.handled()
    eventually(lambda: parted.handled() > handled + SOME, WITHIN_S, lambda: source.tail() + effects.tail())
    source.stop()
    parted.wait_until_drained(effects)
    effects.stop()
    assert parted.broken_promises() == []
