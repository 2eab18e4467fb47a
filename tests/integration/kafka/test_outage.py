"""The broker away: at the start, in the middle, and at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from streambind.binders.kafka import KafkaBinder
from streambind.binding.outcome import Outcome, Sent, Unknown
from streambind.errors import BrokerUnavailableError, LifecycleError
from streambind.message import Batch, Message
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import (
    WITHIN_S,
    Effects,
    assigned,
    bound,
    create_topic,
    input_target,
    kafka_binder,
    output,
    send,
)
from tests.services import KafkaBroker


@pytest.fixture
def binder(own_kafka: KafkaBroker) -> Iterator[KafkaBinder]:
    it = kafka_binder(own_kafka.address)
    yield it
    it.close(5000)


@pytest.mark.parametrize("frozen", [False, True], ids=["dead", "frozen"])
def test_nobody_waits_long_for_a_broker_that_is_away_at_the_start(
    own_kafka: KafkaBroker, binder: KafkaBinder, topic: str, frozen: bool
) -> None:
    own_kafka.pause() if frozen else own_kafka.kill()
    try:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match=own_kafka.address if not frozen else "reaching"):
            binder.bind_consumer(input_target(topic, topic), Effects())
        with pytest.raises(BrokerUnavailableError):
            output(binder, topic)
        # A dead one is told at once, not after the two time-outs of 5 s that a frozen one costs.
        assert time.monotonic() - began < (40 if frozen else 9)
    finally:
        own_kafka.resume() if frozen else own_kafka.restart()


def test_a_broker_that_dies_and_comes_back_loses_and_repeats_nothing(
    own_kafka: KafkaBroker, binder: KafkaBinder, topic: str
) -> None:
    create_topic(own_kafka.address, topic, 2)
    effects = Effects()
    producer = output(binder, topic, timeout_ms=None)
    with bound(binder, input_target(topic, topic), effects) as binding:
        send(producer, *(b"%d" % n for n in range(100)), partition=0)
        _committed(binder, topic, 100)
        own_kafka.kill()
        sender = threading.Thread(
            target=send, args=(producer, *(b"%d" % n for n in range(100, 200))), kwargs={"partition": 0}
        )
        sender.start()
        eventually(lambda: binding.away() is not None, WITHIN_S, "the outage is not noticed")
        assert "away" in (binding.last_error() or "")
        own_kafka.restart()
        sender.join(WITHIN_S)
        assert not sender.is_alive()
        effects.come(200, binding.partitions)
        eventually(lambda: binding.last_error() is None, WITHIN_S, lambda: f"last error {binding.last_error()}")
        assert binding.away() is None
        _committed(binder, topic, 200)
        eventually(
            lambda: [state.lag for state in binding.partitions()] == [0, 0],
            WITHIN_S,
            lambda: f"where the logs end is not found out again: {binding.partitions()}",
        )
    assert effects.by_partition == {0: [b"%d" % n for n in range(200)]}


def test_unbinding_is_short_while_the_broker_is_dead(
    own_kafka: KafkaBroker, binder: KafkaBinder, topic: str
) -> None:
    create_topic(own_kafka.address, topic)
    effects = Effects()
    binding = binder.bind_consumer(input_target(topic, topic), effects)
    producer = output(binder, topic)
    send(producer, b"1")
    effects.come(1, binding.partitions)
    own_kafka.kill()
    try:
        eventually(lambda: binding.last_error(), WITHIN_S, "the outage is not noticed")
        began = time.monotonic()
        binding.unbind(10_000)
        producer.unbind(10_000)
        assert time.monotonic() - began < 9
        names = {thread.name for thread in threading.enumerate()}
        assert not {name for name in names if name.startswith(("streambind-in-x", "streambind-out-x"))}
    finally:
        own_kafka.restart()


def test_a_purge_ends_sends_that_a_frozen_broker_holds_up(
    own_kafka: KafkaBroker, binder: KafkaBinder, topic: str
) -> None:
    create_topic(own_kafka.address, topic)
    producer = output(binder, topic, timeout_ms=None)
    send(producer, b"before")
    results: list[object] = []
    own_kafka.pause()
    try:
        sender = threading.Thread(target=lambda: results.extend(producer.send([Message(b"1"), Message(b"2")])))
        sender.start()
        sender.join(0.5)
        assert sender.is_alive()
        began = time.monotonic()
        producer.purge()
        sender.join(WITHIN_S)
        assert time.monotonic() - began < 9
    finally:
        own_kafka.resume()
    assert [type(result) for result in results] == [Unknown, Unknown]
    with pytest.raises(LifecycleError):
        producer.send([Message(b"3")])


def test_a_send_with_a_limit_keeps_it(own_kafka: KafkaBroker, binder: KafkaBinder, topic: str) -> None:
    create_topic(own_kafka.address, topic)
    producer = output(binder, topic, timeout_ms=3000)
    send(producer, b"before")
    own_kafka.pause()
    try:
        began = time.monotonic()
        (result,) = producer.send([Message(b"1")])
        assert time.monotonic() - began < 20
        assert isinstance(result, Unknown)
    finally:
        own_kafka.resume()
    eventually(
        lambda: isinstance(producer.send([Message(b"2")])[0], Sent), WITHIN_S, "the output does not recover"
    )


def test_a_handler_that_outlives_the_poll_interval_costs_nothing(
    own_kafka: KafkaBroker, binder: KafkaBinder, topic: str
) -> None:
    """The poll thread goes on polling while a handler runs, so the group never misses this member. The handler
    runs until a client with the same settings, which only this handler polls, has lost its membership."""
    create_topic(own_kafka.address, topic)
    deliveries: list[int] = []
    impatient = {"session.timeout.ms": "1500", "max.poll.interval.ms": "1500", "heartbeat.interval.ms": "300"}
    group = f"{topic}-naive"
    naive = Consumer({"bootstrap.servers": own_kafka.address, "group.id": group, "log_level": 0, **impatient})
    naive.subscribe([topic])

    def is_member() -> bool:
        return bool(binder.owners(group, topic, 5000))

    def slow(batch: Batch) -> Outcome:
        deliveries.append(len(batch))
        eventually(lambda: naive.poll(0.1) or is_member(), WITHIN_S, "the naive client does not become a member")
        eventually(lambda: not is_member(), WITHIN_S, "the naive client stays a member")
        return Outcome(len(batch))

    target = input_target(topic, topic, configuration=impatient)
    with bound(binder, target, slow) as binding:
        send(output(binder, topic), b"1")
        eventually(lambda: deliveries, WITHIN_S, "nothing was delivered")
        _committed(binder, topic, 1)
        assert assigned(binding) == {0}
        assert binding.last_error() is None
    naive.close()
    assert deliveries == [1]


def _committed(binder: KafkaBinder, topic: str, offset: int) -> None:
    seen: list[object] = []

    def as_expected() -> bool:
        seen[:] = [dict(binder.committed(topic, topic, 5000))]
        return seen == [{0: offset}]

    eventually(as_expected, WITHIN_S, lambda: f"committed {seen}, expected {offset}")
