"""Members of a group: with a name that stays, replaced when the client breaks, paused for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Consumer

from streambind.binders.kafka import EmbeddedBroker, KafkaBinder
from streambind.binders.kafka.consumer import KafkaConsumerBinding
from streambind.binding.outcome import Outcome, RetryAfter, Sent, Unknown
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

INIT_PRODUCER_ID = 22
CLUSTER_AUTHORIZATION_FAILED = 31
OUT_OF_ORDER = 45


class Assignments:
    """How often a member was told anything about its partitions, read from the log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level("INFO", "streambind.binders.kafka")

    def of(self, binding: str) -> int:
        marks = (f"binding {binding}: assigned", f"binding {binding}: gave back", f"binding {binding}: lost")
        return sum(record.getMessage().startswith(marks) for record in self._caplog.records)


def test_a_member_with_an_instance_id_restarts_without_a_rebalance(
    kafka: str, binder: KafkaBinder, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    create_topic(kafka, topic, 2)
    assignments = Assignments(caplog)
    effects = Effects()

    with bound(binder, input_target(topic, topic, binding="stays", groupInstanceId="stays"), effects) as stays:
        moves = binder.bind_consumer(
            input_target(topic, topic, binding="restarts", groupInstanceId="restarts"), effects
        )
        for member in (stays, moves):
            eventually(lambda m=member: len(assigned(m)) == 1, WITHIN_S, lambda m=member: f"{m.partitions()}")  # type: ignore[misc]
        had, told = assigned(moves), assignments.of("stays")
        moves.unbind(5000)
        again = binder.bind_consumer(
            input_target(topic, topic, binding="restarts", groupInstanceId="restarts"), effects
        )
        eventually(lambda: assigned(again), 5, lambda: f"{again.partitions()}, {again.last_error()}")
        assert assigned(again) == had
        for partition in range(2):
            send(output(binder, topic), b"x", partition=partition)
        effects.come(2)
        assert assignments.of("stays") == told
        again.unbind(5000)


def test_a_client_that_breaks_is_replaced_visibly(kafka: str, binder: KafkaBinder, topic: str) -> None:
    """With the newer protocol a second member of one instance id gets a fatal error, until the first is gone."""
    create_topic(kafka, topic)
    effects = Effects()
    first = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": topic,
            "group.protocol": "consumer",
            "group.instance.id": "same",
            "auto.offset.reset": "earliest",
        }
    )
    first.subscribe([topic])
    eventually(lambda: first.poll(0.1) is None and first.assignment(), WITHIN_S, "the first member has nothing")
    target = input_target(topic, topic, groupProtocol="consumer", groupInstanceId="same")
    with bound(binder, target, effects) as binding:
        eventually(
            lambda: first.poll(0) is None and "a new one follows" in (binding.last_error() or ""),
            WITHIN_S,
            lambda: f"last error {binding.last_error()}",
        )
        first.close()
        send(output(binder, topic), b"1")
        effects.come(1, lambda: (binding.partitions(), binding.last_error()))


def test_a_member_that_gets_no_partition_says_that_it_waits(
    binder: KafkaBinder, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "streambind.binders.kafka")

    def waits(name: str) -> bool:
        said = f"binding {name}: waiting for partitions: "
        return any(record.getMessage().startswith(said) for record in caplog.records)

    holder, spare = (input_target(topic, topic, binding=name) for name in ("in-holder", "in-spare"))
    with bound(binder, holder, Effects()) as first:
        eventually(lambda: len(first.partitions()) == 1, WITHIN_S, "not assigned")
        # Who holds the only partition keeps it.
        with bound(binder, spare, Effects()):
            eventually(lambda: waits("in-spare"), WITHIN_S, "it does not say that it waits")
            assert len(first.partitions()) == 1
    assert not waits("in-holder")


def test_a_pause_of_a_moment_forgets_nothing(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    effects = Effects()
    with bound(binder, input_target(topic, topic, configuration={"max.poll.records": 1}), effects) as binding:
        producer = output(binder, topic)
        for number in range(200):
            send(producer, b"%d" % number)
            binding.pause()
            binding.resume()
        effects.come(200, binding.partitions)
    assert effects.by_partition == {0: [b"%d" % n for n in range(200)]}


def test_a_full_partition_is_paused_and_others_go_on(kafka: str, binder: KafkaBinder, topic: str) -> None:
    """One partition's handler waits for ever; what is fetched of it is bounded, and the other one flows."""
    create_topic(kafka, topic, 2)
    effects = Effects()
    waiting: list[int] = []

    def deliver(batch: Batch) -> Outcome:
        if batch.partition == 0:
            waiting.append(len(batch))
            return Outcome(0, RetryAfter(50, "not yet"))
        return effects(batch)

    with bound(binder, input_target(topic, topic), deliver) as binding:
        producer = output(binder, topic)
        for _ in range(10):
            results = producer.send([Message(bytes(1000), partition=0) for _ in range(5000)])
            assert all(isinstance(result, Sent) for result in results)
        send(producer, *(b"%d" % n for n in range(100)), partition=1)
        effects.come(100, binding.partitions)
        assert _waiting_in_memory(binding) < 50_000 * 1000 / 2
    assert waiting
    assert effects.by_partition == {1: [b"%d" % n for n in range(100)]}


def test_a_batch_holds_as_many_as_the_target_says(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    send(output(binder, topic), *[bytes(100)] * 3000)
    goes_on = threading.Event()
    sizes: list[int] = []

    def deliver(batch: Batch) -> Outcome:
        goes_on.wait(WITHIN_S)
        sizes.append(len(batch))
        return Outcome(len(batch))

    with bound(binder, replace(input_target(topic, topic), batch=1000), deliver) as binding:
        eventually(lambda: _waiting_in_memory(binding) >= 2000 * 100, WITHIN_S, "too few wait")
        goes_on.set()
        eventually(lambda: sum(sizes) == 3000, WITHIN_S, lambda: f"came: {sizes}")
    assert max(sizes) == 1000


def _waiting_in_memory(binding: KafkaConsumerBinding) -> int:
    return sum(lane._bytes for lane in binding._assignment.lanes.values())


class TestFatalProducer:
    @pytest.fixture
    def broker(self) -> Iterator[EmbeddedBroker]:
        with EmbeddedBroker() as it:
            yield it

    def test_a_client_that_may_not_produce_is_replaced_at_the_next_send(self, broker: EmbeddedBroker) -> None:
        binder = kafka_binder(broker.address)
        broker.fail_next(INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED)
        producer = output(binder, "t", timeout_ms=None)
        (broken,) = producer.send([Message(b"1")])
        assert not isinstance(broken, Sent)
        eventually(lambda: isinstance(producer.send([Message(b"2")])[0], Sent), WITHIN_S, "it does not recover")
        binder.close(5000)

    def test_a_gap_in_the_sequence_leaves_nothing_known_and_is_recovered_from(
        self, broker: EmbeddedBroker
    ) -> None:
        binder = kafka_binder(broker.address)
        producer = output(binder, "t", timeout_ms=None)
        send(producer, b"1")
        broker.fail_next(0, OUT_OF_ORDER)
        results = producer.send([Message(b"2")])
        assert all(isinstance(result, Sent | Unknown) for result in results)
        eventually(lambda: isinstance(producer.send([Message(b"3")])[0], Sent), WITHIN_S, "it does not recover")
        binder.close(5000)


def test_a_delivery_may_unbind_its_own_binding(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    ended: list[float] = []
    bindings: list[KafkaConsumerBinding] = []

    def deliver(batch: Batch) -> Outcome:
        began = time.monotonic()
        bindings[0].unbind(500)
        ended.append(time.monotonic() - began)
        return Outcome(len(batch))

    bindings.append(binder.bind_consumer(input_target(topic, topic), deliver))
    send(output(binder, topic), b"1")
    eventually(lambda: ended, WITHIN_S, "the delivery does not end")
    assert ended[0] < 5
    bindings[0].unbind(5000)
