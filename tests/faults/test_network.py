"""The network between the services and the broker is gone for a while: packets vanish, and nobody is told.

The broker runs in a network namespace of its own; its only link is taken down and put up again.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, server_databases
from tests.faults.world import World, world
from tests.services import FreshDatabases, KafkaBroker, ServiceUnavailable
from tests.services.missing import cannot

AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")
WITHIN_S = 60.0
COMMITS = 400
"""So many are made while the broker is out of reach: some seconds, longer than sessions and leases."""


class Namespace:
    """A network of its own with one link to this one."""

    def __init__(self) -> None:
        number = os.getpid() % 250
        self._name = f"streambind-{os.getpid()}"
        self._link = f"sb{os.getpid() % 1_000_000}"
        self._here, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
        self.within = (*AS_ROOT, "ip", "netns", "exec", self._name)

    def make(self) -> None:
        """
        Raises:
            subprocess.CalledProcessError: not allowed, or not installed.
        """
        inside = f"{self._link}i"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", inside, "netns", self._name)
        _ip("address", "add", f"{self._here}/24", "dev", self._link)
        _ip("-n", self._name, "address", "add", f"{self.address}/24", "dev", inside)
        _ip("-n", self._name, "link", "set", "lo", "up")
        _ip("-n", self._name, "link", "set", inside, "up")
        self.heal()

    def part(self) -> None:
        """Packets to and fro vanish."""
        _ip("link", "set", self._link, "down")

    def heal(self) -> None:
        _ip("link", "set", self._link, "up")

    def remove(self) -> None:
        subprocess.run([*AS_ROOT, "ip", "netns", "del", self._name], capture_output=True, check=False)


@pytest.fixture
def network() -> Iterator[Namespace]:
    made = Namespace()
    try:
        made.make()
    except (OSError, subprocess.CalledProcessError) as error:
        made.remove()
        cannot(f"no network namespace can be made, which needs root and iproute2: {error}")
    yield made
    made.remove()


@pytest.fixture
def parted(network: Namespace, postgres: FreshDatabases, services: Services) -> Iterator[World]:
    """A world whose broker is behind the link."""
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


def test_all_arrives_when_the_network_was_gone(parted: World, network: Namespace) -> None:
    source, effects = parted.source(0), parted.effects()
    eventually(lambda: parted.handled() > 0, WITHIN_S, effects.tail)
    network.part()
    before = parted.committed()
    eventually(lambda: parted.committed() > before + COMMITS, WITHIN_S, source.tail)
    handled = parted.handled()
    network.heal()
    eventually(lambda: parted.handled() > handled, WITHIN_S, lambda: source.tail() + effects.tail())
    source.stop()
    parted.wait_until_drained(effects)
    effects.stop()
    assert parted.broken_promises() == []


def _ip(*arguments: str) -> None:
    subprocess.run([*AS_ROOT, "ip", *arguments], capture_output=True, check=True)
