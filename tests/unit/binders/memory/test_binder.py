"""What the memory binder adds to the contract of the SPI."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streambind.binders.kafka.properties import (
    KafkaBinderProperties,
    KafkaConsumerProperties,
    KafkaProducerProperties,
)
from streambind.binders.memory import MEMORY, MemoryBinder, MemoryBroker
from streambind.binders.memory.properties import MemoryBinderProperties
from streambind.binding.binder import ConsumerBinding, ConsumerTarget, Deliver, ProducerTarget
from streambind.binding.outcome import Outcome
from streambind.configuration.properties import ConsumerProperties, ProducerProperties, Properties
from streambind.errors import BrokerUnavailableError, DestinationError, LifecycleError
from streambind.message import Batch, Message
from streambind.testing.eventually import eventually


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    with MemoryBroker.fresh() as fresh:
        yield fresh


def all_done(batch: Batch) -> Outcome:
    return Outcome(len(batch))


def binder(**settings: object) -> MemoryBinder:
    return MemoryBinder(MemoryBinderProperties.model_validate(settings))


def bind(
    it: MemoryBinder,
    deliver: Deliver = all_done,
    *,
    group: str | None = "g",
    concurrency: int = 1,
    **settings: object,
) -> ConsumerBinding:
    extended = MEMORY.consumer_properties.model_validate(settings)
    properties = ConsumerProperties(concurrency=concurrency)
    return it.bind_consumer(ConsumerTarget("in", ("d",), group, properties, extended), deliver)


def partitions(broker: MemoryBroker, destination: str) -> int | None:
    info = broker.describe(destination)
    return info.partitions if info is not None else None


def test_it_opens_nothing_before_it_is_used(broker: MemoryBroker) -> None:
    broker.go_down()
    before = threading.active_count()
    it = binder()
    assert threading.active_count() == before
    with pytest.raises(BrokerUnavailableError):
        bind(it)
    assert threading.active_count() == before
    broker.come_up()
    bind(it).unbind(1000)
    assert threading.active_count() == before


def test_an_input_creates_its_destination_with_a_partition_per_worker(broker: MemoryBroker) -> None:
    bind(binder(), concurrency=3).unbind(1000)
    assert partitions(broker, "d") == 3


def test_min_partition_count_raises_what_is_created(broker: MemoryBroker) -> None:
    bind(binder(minPartitionCount=5)).unbind(1000)
    assert partitions(broker, "d") == 5


def test_without_auto_create_a_missing_destination_is_an_error(broker: MemoryBroker) -> None:
    with pytest.raises(DestinationError, match="autoCreateTopics"):
        bind(binder(autoCreateTopics=False))


@pytest.mark.parametrize("add", [False, True])
def test_an_output_needs_its_partitions_unless_they_may_be_added(broker: MemoryBroker, add: bool) -> None:
    broker.create("d", 2)
    target = ProducerTarget("out", "d", ProducerProperties(partition_count=4), MEMORY.producer_properties())
    it = binder(autoAddPartitions=add)
    if add:
        it.bind_producer(target)
        assert partitions(broker, "d") == 4
    else:
        with pytest.raises(DestinationError, match="has 2 partitions, 4 are asked for"):
            it.bind_producer(target)


def test_partitions_added_while_bound_are_read_from_their_beginning(broker: MemoryBroker) -> None:
    broker.create("d", 1)
    seen: list[bytes | None] = []

    def deliver(batch: Batch) -> Outcome:
        seen.extend(batch.payloads())
        return Outcome(len(batch))

    it = bind(binder(), deliver, group=None)
    eventually(lambda: [s.position for s in it.partitions()] == [0], 5, "the partition is not assigned")
    it.pause()
    broker.create("d", 2)
    broker.append("d", [Message(b"new", partition=1)])
    it.resume()
    eventually(lambda: seen == [b"new"], 5, lambda: f"seen: {seen}")
    it.unbind(1000)


def test_dead_letters_have_a_destination_with_the_sources_partitions(broker: MemoryBroker) -> None:
    broker.create("d", 4)
    bind(binder(), enableDlq=True).unbind(1000)
    assert partitions(broker, "error.d.g") == 4


@pytest.mark.parametrize(
    ("group", "settings", "name"),
    [
        ("g", {"enableDlq": True}, "error.d.g"),
        ("g", {"enableDlq": True, "dlqName": "parked"}, "parked"),
        ("g", {"dlqName": "parked"}, None),
        (None, {"enableDlq": True}, None),
    ],
)
def test_dead_letters_are_named_as_spring_names_them(
    group: str | None, settings: dict[str, object], name: str | None
) -> None:
    properties = MEMORY.consumer_properties.model_validate(settings)
    assert MEMORY.dead_letter_destination("d", group, properties) == name


def test_dead_letters_keep_their_partition_unless_there_is_only_one() -> None:
    assert MEMORY.dead_letter_partition(3, MEMORY.consumer_properties()) == 3
    assert MEMORY.dead_letter_partition(3, MEMORY.consumer_properties.model_validate({"dlqPartitions": 1})) == 0


def test_an_anonymous_group_leaves_nothing_at_the_broker(broker: MemoryBroker) -> None:
    bind(binder(), group=None).unbind(1000)
    assert broker.groups._groups == {}


def test_a_handler_may_unbind_its_own_binding(broker: MemoryBroker) -> None:
    unbound = threading.Event()

    def deliver(batch: Batch) -> Outcome:
        it.unbind(60_000)
        unbound.set()
        return Outcome(len(batch))

    it = bind(binder(), deliver)
    broker.append("d", [Message(b"x")])
    assert unbound.wait(5)


def test_a_closed_binder_says_so(broker: MemoryBroker) -> None:
    it = binder()
    it.close(1000)
    with pytest.raises(LifecycleError, match="closed"):
        bind(it)


@pytest.mark.parametrize(
    ("memory", "kafka"),
    [
        (MEMORY.binder_properties, KafkaBinderProperties),
        (MEMORY.consumer_properties, KafkaConsumerProperties),
        (MEMORY.producer_properties, KafkaProducerProperties),
    ],
    ids=["binder", "consumer", "producer"],
)
def test_every_name_of_the_kafka_binder_is_accepted(memory: type[Properties], kafka: type[Properties]) -> None:
    assert names(kafka) - names(memory) == set()


def names(model: type[Properties]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}
