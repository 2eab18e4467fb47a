"""Topics: made, enlarged, refused, deleted and made anew, named by a pattern."""

from __future__ import annotations

from typing import Any

import pytest

from streambind.binders.kafka import KAFKA, KafkaBinder
from streambind.binding.binder import ProducerTarget
from streambind.binding.outcome import Sent
from streambind.configuration.properties import ProducerProperties
from streambind.errors import ConfigurationError, DestinationError
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import (
    WITHIN_S,
    Effects,
    FencingStore,
    assigned,
    bound,
    create_topic,
    input_target,
    kafka_binder,
    output,
    send,
)


def partitions_of(binder: KafkaBinder, topic: str) -> int | None:
    info = binder.describe(topic, 5000)
    return None if info is None else info.partitions


class TestMaking:
    def test_an_output_makes_its_topic_with_the_partitions_asked_for(
        self, binder: KafkaBinder, topic: str
    ) -> None:
        output(binder, topic, partitions=3)
        assert partitions_of(binder, topic) == 3

    def test_its_settings_are_the_ones_asked_for(self, kafka: str, binder: KafkaBinder, topic: str) -> None:
        properties = {"topic": {"properties": {"max.message.bytes": 20_000}, "replication-factor": 1}}
        target = ProducerTarget(
            binding="out-x",
            destination=topic,
            properties=ProducerProperties(),
            extended=KAFKA.producer_properties.model_validate(properties),
        )
        assert (binder.bind_producer(target).max_payload_bytes() or 0) < 20_000

    def test_an_input_makes_one_partition_for_each_worker(self, binder: KafkaBinder, topic: str) -> None:
        with bound(binder, input_target(topic, topic, concurrency=2), Effects()):
            assert partitions_of(binder, topic) == 2

    def test_the_binder_may_want_more(self, kafka: str, topic: str) -> None:
        binder = kafka_binder(kafka, minPartitionCount=5)
        output(binder, topic)
        assert partitions_of(binder, topic) == 5
        binder.close(5000)

    def test_dead_letters_have_as_many_partitions_as_their_source(
        self, kafka: str, binder: KafkaBinder, topic: str
    ) -> None:
        create_topic(kafka, topic, 3)
        with bound(binder, input_target(topic, "g", enableDlq=True), Effects()):
            assert partitions_of(binder, f"error.{topic}.g") == 3

    def test_dead_letters_have_room_for_their_headers(self, kafka: str, binder: KafkaBinder, topic: str) -> None:
        create_topic(kafka, topic, 1, **{"max.message.bytes": "20000"})
        with bound(binder, input_target(topic, "g", enableDlq=True), Effects()):
            (sent,) = output(binder, topic).send([Message(bytes(20_000 - 1024))])
            headers = [("h", bytes(10_000))]
            (letter,) = output(binder, f"error.{topic}.g").send([Message(bytes(20_000), raw_headers=headers)])
        assert isinstance(sent, Sent)
        assert isinstance(letter, Sent)

    def test_dead_letters_under_a_name_and_in_a_number_of_ones_own(
        self, kafka: str, binder: KafkaBinder, topic: str
    ) -> None:
        create_topic(kafka, topic, 3)
        target = input_target(topic, "g", enableDlq=True, dlqName=f"{topic}-dead", dlqPartitions=1)
        with bound(binder, target, Effects()):
            assert partitions_of(binder, f"{topic}-dead") == 1

    def test_dead_letters_of_nobody_are_refused(self, binder: KafkaBinder, topic: str) -> None:
        with pytest.raises(ConfigurationError, match="binding in-x: enableDlq needs a group"):
            binder.bind_consumer(input_target(topic, None, enableDlq=True), Effects())


class TestFewer:
    def test_a_topic_that_is_too_small_stays_and_is_told(
        self, kafka: str, binder: KafkaBinder, topic: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        create_topic(kafka, topic, 1)
        output(binder, topic, partitions=3)
        assert partitions_of(binder, topic) == 1
        assert f"topic {topic} has 1 partitions, 3 were asked for" in caplog.text

    def test_it_grows_where_that_is_allowed(self, kafka: str, topic: str) -> None:
        binder = kafka_binder(kafka, autoAddPartitions=True)
        create_topic(kafka, topic, 1)
        output(binder, topic, partitions=3)
        eventually(lambda: partitions_of(binder, topic) == 3, WITHIN_S, "the topic does not grow")
        binder.close(5000)

    def test_a_missing_topic_that_may_not_be_made_is_an_error(self, kafka: str, topic: str) -> None:
        binder = kafka_binder(kafka, autoCreateTopics=False)
        for bind in (
            lambda: output(binder, topic),
            lambda: binder.bind_consumer(input_target(topic, "g"), Effects()),
        ):
            with pytest.raises(DestinationError, match="autoCreateTopics is false") as raised:
                bind()
            assert raised.value.permanent
        binder.close(5000)

    def test_a_name_that_no_broker_takes_is_an_error(self, binder: KafkaBinder) -> None:
        with pytest.raises(ConfigurationError, match="'최종' is not a topic name"):
            output(binder, "최종")


@pytest.mark.parametrize("policy", ["earliest", "latest"])
def test_partitions_added_later_are_read_from_their_beginning(kafka: str, topic: str, policy: str) -> None:
    """Also when a record is there before the client hears of the partition."""
    binder = kafka_binder(kafka, autoAddPartitions=True)
    effects = Effects()
    slow = {"topic.metadata.refresh.interval.ms": "2000"}
    with bound(binder, input_target(topic, topic, startOffset=policy, configuration=slow), effects) as binding:
        eventually(lambda: assigned(binding) == {0}, WITHIN_S, lambda: f"{binding.partitions()}")
        for partition in range(1, 10):
            send(output(binder, topic, partitions=partition + 1), b"x", partition=partition)
            if partition not in {state.lane.partition for state in binding.partitions()}:
                break
        else:
            pytest.fail("the client was quicker each time")
        effects.come(partition, binding.partitions)
    assert effects.offsets == {number: [0] for number in range(1, partition + 1)}
    binder.close(5000)


def test_a_pattern_reads_every_topic_that_matches(kafka: str, binder: KafkaBinder, topic: str) -> None:
    effects = Effects()
    create_topic(kafka, f"{topic}-a")
    quick = {"topic.metadata.refresh.interval.ms": "500"}
    target = input_target(f"{topic}-.*", topic, destinationIsPattern=True, configuration=quick)
    with bound(binder, target, effects) as binding:
        send(output(binder, f"{topic}-a"), b"1")
        effects.come(1, binding.partitions)
        create_topic(kafka, f"{topic}-b")
        send(output(binder, f"{topic}-b"), b"2")
        effects.come(2, binding.partitions)


@pytest.mark.parametrize(
    "asked",
    [{"positions": FencingStore()}, {"enableDlq": True, "dlqName": "letters"}],
    ids=["positions", "dead letters"],
)
def test_a_pattern_is_refused_where_failed_messages_are_kept_by_topic(asked: dict[str, Any]) -> None:
    """Before anything is asked of a broker: what is parked under a topic's name would be tried by nobody."""
    binder = kafka_binder("127.0.0.1:1")
    with pytest.raises(
        ConfigurationError, match="with destinationIsPattern: what is done, and what fails, is kept"
    ):
        binder.bind_consumer(input_target("things-.*", "g", destinationIsPattern=True, **asked), Effects())
    binder.close(5000)
