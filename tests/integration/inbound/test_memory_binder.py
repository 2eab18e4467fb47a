"""Delivery behind a real binder: threads, rebalances, dead letters."""

from __future__ import annotations

import random
import threading

from sqlalchemy.orm import Session

from streambind.binders.memory.binder import MemoryBinder
from streambind.binders.memory.properties import (
    MemoryProducerProperties,
)
from streambind.binding.binder import ProducerTarget
from streambind.configuration.properties import ProducerProperties
from streambind.inbound.input import InputPlan
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.integration.inbound.memory import bind
from tests.integration.inbound.service import DESTINATION, Effect, Event, Letters, Service, event
from tests.unit.inbound.batches import numbered

KEYS = [f"k{n}" for n in range(8)]
ROUNDS = 25


def send(binder: MemoryBinder, numbers: range) -> None:
    """The events of all keys with these numbers, each number sent once or twice, as relays do."""
    properties = ProducerProperties(partition_count=4)
    target = ProducerTarget("out-things", DESTINATION, properties, MemoryProducerProperties())
    producer = binder.bind_producer(target)
    for number in numbers:
        for key in KEYS:
            record = numbered(event(key, number), key, number)
            message = Message(record.payload, record.key, raw_headers=record.headers)
            producer.send([message] * (1 + number % 2))
    producer.unbind(1000)


def test_instances_that_come_and_go_have_the_effects_of_one(sync_service: Service, binder: MemoryBinder) -> None:
    service = sync_service
    luck = random.Random(7)
    lock = threading.Lock()

    def keeps(event: Event, session: Session) -> None:
        session.add(Effect(key=event.key, number=event.number))
        with lock:
            if luck.random() < 0.02:
                raise ValueError("not yet")

    def plan() -> InputPlan:
        return service.plan(keeps, adopt=None, max_attempts=20, back_off_initial_interval_ms=1)

    send(binder, range(1, 2))
    bindings = [bind(binder, plan()) for _ in range(2)]
    for number in range(2, ROUNDS + 1):
        send(binder, range(number, number + 1))
        if number % 5 == 0:
            bindings.append(bind(binder, plan()))
            bindings.pop(0).unbind(5000)

    expected = {key: list(range(1, ROUNDS + 1)) for key in KEYS}
    eventually(lambda: len(service.effects()) >= len(KEYS) * ROUNDS, 60, lambda: str(len(service.effects())))
    for binding in bindings:
        binding.unbind(5000)

    found: dict[str, list[int]] = {key: [] for key in KEYS}
    for key, number in service.effects():
        found[key].append(number)
    assert found == expected


def test_poison_goes_to_the_dead_letters_and_the_rest_flows(sync_service: Service, binder: MemoryBinder) -> None:
    letters = Letters()

    def keeps(event: Event, session: Session) -> None:
        session.add(Effect(key=event.key, number=event.number))
        if (event.key, event.number) == ("k3", 2):
            raise ValueError("poison")

    plan = sync_service.plan(keeps, adopt=None, letters=letters, back_off_initial_interval_ms=1)
    send(binder, range(1, 5))
    binding = bind(binder, plan)

    eventually(lambda: len(sync_service.effects()) == len(KEYS) * 4 - 1, 60, lambda: str(sync_service.effects()))
    binding.unbind(5000)

    assert [letter.key for letter in letters.sent] == [b"k3"]
    assert plan.statistics.figures().retried == 2
    assert [n for key, n in sync_service.effects() if key == "k3"] == [1, 3, 4]
