"""kill -9 around dead letters: each failed event has one record on the dead-letter topic, and none is lost."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import ServiceProcess
from tests.faults.world import DRAIN_S, WRITTEN, World

KILLED_WITHIN_S = 30.0
SETTINGS = {
    "LISTENER": "poisoned",
    "SPRING_CLOUD_STREAM_KAFKA_BINDINGS_INITEMS_CONSUMER_ENABLEDLQ": "true",
}

pytestmark = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


def killed_and_started_again(reading: World, point: str, **settings: str) -> None:
    environment = {**SETTINGS, **settings}
    reading.effects(STREAMBIND_FAILPOINTS=point, **environment).wait_for_kill(KILLED_WITHIN_S)
    again = reading.effects(**environment)
    reading.wait_until_drained(again)
    wait_until_relayed(reading, again)
    again.stop()


def wait_until_relayed(reading: World, service: ServiceProcess) -> None:
    eventually(lambda: reading.unsent_letters() == 0, DRAIN_S, service.tail)


def copies(reading: World) -> Counter[tuple[int, int]]:
    """How many records there are of each event that failed: item and version."""
    payloads = [json.loads(letter.message.payload or b"") for letter in reading.letters()]
    return Counter((payload["itemId"], payload["version"]) for payload in payloads)


def failed(reading: World) -> list[tuple[int, int]]:
    """The events that the listener fails at."""
    changes = reading.history().committed
    versions = [(int(str(change.item)), int(change.label.split()[1])) for change in changes]
    return [(item, version) for item, version in versions if version % 3 == 0]


@pytest.mark.parametrize(
    "point",
    [
        "delivery.before_passing_over=kill@1",
        "delivery.after_passing_over=kill@2",
        "relay.after_select=kill@1",
    ],
)
def test_each_failed_event_has_one_dead_letter_when_its_service_is_killed(reading: World, point: str) -> None:
    killed_and_started_again(reading, point)

    assert copies(reading) == Counter(failed(reading))
    assert reading.handled() == WRITTEN - len(failed(reading))


def test_a_relay_that_dies_before_it_notes_what_it_sent_sends_a_copy(reading: World) -> None:
    """The limit of it: the copy says the same of the same place, and is known by that."""
    killed_and_started_again(reading, "relay.after_ack=kill@1")

    found = copies(reading)
    assert set(found) == set(failed(reading))
    assert max(found.values()) == 2
    letters = reading.letters()
    places = {(letter.message.partition, letter.message.offset, letter.first_failure_ms) for letter in letters}
    assert len(places) == len(failed(reading)) < len(letters)


def test_the_count_rejects_dead_letters_that_are_sent_before_the_commit(reading: World) -> None:
    killed_and_started_again(reading, "delivery.before_passing_over=kill@1", LISTENER="letter-first")

    found = copies(reading)
    assert set(found) == set(failed(reading))
    assert max(found.values()) == 2
