"""From properties to librdkafka's settings: names, order, what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from streambind.binders.kafka.client_settings import (
    ConsumerSettings,
    ProducerSettings,
    admin_settings,
    bootstrap_servers,
    consumer_settings,
    producer_settings,
)
from streambind.binders.kafka.properties import (
    KafkaBinderProperties,
    KafkaConsumerProperties,
    KafkaProducerProperties,
)
from streambind.errors import ConfigurationError


def consumer(
    binder: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
    group: str | None = "g",
    batch: int | None = None,
) -> ConsumerSettings:
    return consumer_settings(
        KafkaBinderProperties.model_validate(binder or {}),
        KafkaConsumerProperties.model_validate(own or {}),
        binding="in-x",
        group=group,
        batch=batch,
    )


def producer(
    binder: dict[str, Any] | None = None, own: dict[str, Any] | None = None, timeout_ms: int | None = 10_000
) -> ProducerSettings:
    return producer_settings(
        KafkaBinderProperties.model_validate(binder or {}),
        KafkaProducerProperties.model_validate(own or {}),
        binding="out-x",
        timeout_ms=timeout_ms,
    )


class TestBrokers:
    @pytest.mark.parametrize(
        ("brokers", "expected"),
        [
            ("localhost", "localhost:9092"),
            ("a, b:1", "a:9092,b:1"),
            (["a", "b"], "a:9092,b:9092"),
            ("[::1]", "[::1]:9092"),
            ("[::1]:7", "[::1]:7"),
            ("SSL://a", "SSL://a:9092"),
        ],
    )
    def test_the_default_port_is_added_where_one_is_missing(self, brokers: object, expected: str) -> None:
        assert bootstrap_servers(KafkaBinderProperties.model_validate({"brokers": brokers})) == expected

    def test_another_default_port(self) -> None:
        binder = KafkaBinderProperties.model_validate({"brokers": "a", "defaultBrokerPort": 9093})
        assert bootstrap_servers(binder) == "a:9093"

    @pytest.mark.parametrize("kind", ["consumer", "producer"])
    def test_a_binding_cannot_have_brokers_of_its_own(self, kind: str) -> None:
        own = {"configuration": {"bootstrap.servers": "elsewhere:9092"}}
        with pytest.raises(ConfigurationError, match="another binder"):
            consumer(own=own) if kind == "consumer" else producer(own=own)


class TestOrder:
    def test_the_nearer_map_wins(self) -> None:
        binder = {
            "configuration": {"client.id": "binder", "fetch.min.bytes": 1, "socket.keepalive.enable": True},
            "consumerProperties": {"client.id": "consumers", "fetch.min.bytes": 2},
        }
        client = consumer(binder, {"configuration": {"fetch.min.bytes": 3}}).client
        assert client["client.id"] == "consumers"
        assert client["fetch.min.bytes"] == "3"
        assert client["socket.keepalive.enable"] == "true"

    def test_settings_of_the_other_kind_of_client_are_left_out(self) -> None:
        shared = {"configuration": {"acks": "all", "fetch.min.bytes": 5}}
        assert "acks" not in consumer(shared).client
        assert "fetch.min.bytes" not in producer(shared).client
        assert not {"acks", "fetch.min.bytes"} & admin_settings(KafkaBinderProperties(**shared)).keys()

    def test_what_correctness_needs_cannot_be_changed(self) -> None:
        own = {
            "configuration": {
                "enable.auto.commit": "true",
                "group.id": "other",
                "auto.offset.reset": "latest",
                "enable.auto.offset.store": "true",
            }
        }
        settings = consumer(own=own)
        assert settings.client["enable.auto.commit"] == "false"
        assert settings.client["enable.auto.offset.store"] == "false"
        assert settings.client["auto.offset.reset"] == "error"
        assert settings.client["group.id"] == settings.group == "g"
        assert any("enable.auto.commit" in notice for notice in settings.notices)
        assert any("group.id" in notice for notice in settings.notices)


class TestStart:
    def test_a_named_group_starts_at_the_beginning(self) -> None:
        assert consumer().start == "earliest"

    def test_an_anonymous_group_is_new_each_time_and_starts_at_the_end(self) -> None:
        one, two = consumer(group=None), consumer(group=None)
        assert one.start == "latest"
        assert re.fullmatch(r"anonymous\.[0-9a-f]{8}-[0-9a-f-]{27}", one.group)
        assert one.group != two.group

    @pytest.mark.parametrize(
        ("value", "expected"), [("earliest", "earliest"), ("largest", "latest"), ("none", "none")]
    )
    def test_the_clients_setting_is_understood(self, value: str, expected: str) -> None:
        assert consumer(own={"configuration": {"auto.offset.reset": value}}).start == expected

    def test_the_bindings_property_wins(self) -> None:
        own = {"startOffset": "latest", "configuration": {"auto.offset.reset": "earliest"}}
        assert consumer(own=own).start == "latest"

    def test_anything_else_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="earliest, latest or none"):
            consumer(own={"configuration": {"auto.offset.reset": "somewhere"}})


class TestGroupProtocol:
    def test_classic_is_the_default(self) -> None:
        client = consumer().client
        assert client["group.protocol"] == "classic"
        assert client["partition.assignment.strategy"] == "cooperative-sticky"
        assert client["session.timeout.ms"] == "10000"

    @pytest.mark.parametrize(
        "own", [{"groupProtocol": "consumer"}, {"configuration": {"group.protocol": "consumer"}}]
    )
    def test_the_newer_one_takes_none_of_the_settings_that_it_refuses(self, own: dict[str, Any]) -> None:
        binder = {"configuration": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}}
        settings = consumer(binder, own)
        assert settings.client["group.protocol"] == "consumer"
        assert (
            not {
                "session.timeout.ms",
                "heartbeat.interval.ms",
                "partition.assignment.strategy",
            }
            & settings.client.keys()
        )
        assert len(settings.notices) == 2
        Consumer(settings.client).close()

    def test_the_session_may_be_set(self) -> None:
        assert consumer({"configuration": {"session.timeout.ms": 6000}}).client["session.timeout.ms"] == "6000"

    def test_an_instance_id(self) -> None:
        assert consumer(own={"groupInstanceId": "a-1"}).client["group.instance.id"] == "a-1"

    @pytest.mark.parametrize(
        "strategies",
        [
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
            "org.apache.kafka.clients.consumer.RangeAssignor,"
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        ],
    )
    def test_javas_cooperative_assignor_is_ours(self, strategies: str) -> None:
        client = consumer({"configuration": {"partition.assignment.strategy": strategies}}).client
        assert client["partition.assignment.strategy"] == "cooperative-sticky"

    def test_an_assignor_that_takes_everything_away_is_refused(self) -> None:
        name = "org.apache.kafka.clients.consumer.RangeAssignor"
        with pytest.raises(ConfigurationError, match=r"partition\.assignment\.strategy"):
            consumer({"configuration": {"partition.assignment.strategy": name}})


class TestJavasNames:
    def test_names_that_differ_are_translated(self) -> None:
        assert (
            consumer({"configuration": {"fetch.max.wait.ms": 50, "receive.buffer.bytes": 65536}}).client.items()
            >= {"fetch.wait.max.ms": "50", "socket.receive.buffer.bytes": "65536"}.items()
        )
        assert producer({"configuration": {"max.request.size": 2_000_000}}).max_message_bytes == 2_000_000
        client = producer({"configuration": {"buffer.memory": 33_554_432, "acks": "-1"}}).client
        assert client["queue.buffering.max.kbytes"] == "32768"
        assert client["acks"] == "all"

    def test_the_size_of_a_batch_is_the_binders(self) -> None:
        settings = consumer(own={"configuration": {"max.poll.records": 50}})
        assert settings.max_poll_records == 50
        assert "max.poll.records" not in settings.client
        assert consumer().max_poll_records == 500

    def test_whose_batches_may_be_large_has_them_where_nothing_is_configured(self) -> None:
        assert consumer(batch=2000).max_poll_records == 2000
        own = {"configuration": {"max.poll.records": 50}}
        assert consumer(own=own, batch=2000).max_poll_records == 50

    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_a_batch_has_a_size(self, value: str) -> None:
        with pytest.raises(ConfigurationError, match=r"max\.poll\.records"):
            consumer(own={"configuration": {"max.poll.records": value}})

    def test_usual_serializers_are_silent_and_others_are_told(self) -> None:
        strings = "org.apache.kafka.common.serialization.StringDeserializer"
        avro = "io.confluent.kafka.serializers.KafkaAvroDeserializer"
        assert consumer({"configuration": {"key.deserializer": strings}}).notices == ()
        settings = consumer({"configuration": {"value.deserializer": avro, "interceptor.classes": "a.B"}})
        assert [notice.split("'")[1] for notice in settings.notices] == [
            "value.deserializer",
            "interceptor.classes",
        ]

    def test_the_default_partitioner_is_ours_and_another_is_refused(self) -> None:
        default = "org.apache.kafka.clients.producer.internals.DefaultPartitioner"
        assert (
            producer({"configuration": {"partitioner.class": default}}).client["partitioner"] == "murmur2_random"
        )
        with pytest.raises(ConfigurationError, match=r"partitioner\.class"):
            producer({"configuration": {"partitioner.class": "a.B"}})


class TestProducer:
    def test_nothing_is_lost_repeated_or_sent_to_another_partition_than_javas(self) -> None:
        client = producer().client
        assert client["enable.idempotence"] == "true"
        assert client["acks"] == "all"
        assert client["partitioner"] == "murmur2_random"

    def test_fewer_acknowledgements_switch_idempotence_off_and_are_told(self) -> None:
        settings = producer({"requiredAcks": 1})
        assert (settings.client["acks"], settings.client["enable.idempotence"]) == ("1", "false")
        assert "can lose" in settings.notices[0]
        Producer(settings.client)

    def test_a_sender_without_limit(self) -> None:
        assert producer(timeout_ms=None).client["message.timeout.ms"] == "0"

    def test_a_sender_with_a_limit_has_the_time_that_a_new_client_needs_on_top(self) -> None:
        assert producer(timeout_ms=500).client["message.timeout.ms"] == "2500"

    def test_springs_properties(self) -> None:
        own = {"bufferSize": 32768, "batchTimeout": "20ms", "compressionType": "lz4"}
        assert (
            producer(own=own).client.items()
            >= {"batch.size": "32768", "linger.ms": "20", "compression.type": "lz4"}.items()
        )

    @pytest.mark.parametrize(
        ("own", "linger_ms", "lingers"),
        [
            ({}, "5", False),  # the end of each send ends it
            ({"batchTimeout": 20}, "20", True),
            ({"configuration": {"linger.ms": "0"}}, "0", True),
        ],
    )
    def test_batches_wait_only_where_somebody_asks_for_it(
        self, own: dict[str, Any], linger_ms: str, lingers: bool
    ) -> None:
        settings = producer(own=own)
        assert (settings.client["linger.ms"], settings.lingers) == (linger_ms, lingers)

    def test_transactions_are_told_to_have_no_effect(self) -> None:
        settings = producer({"configuration": {"transactional.id": "x"}})
        assert "transactional.id" not in settings.client
        assert "outbox" in settings.notices[0]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_client_takes_what_comes_out(protocol: str) -> None:
    Consumer(consumer(own={"groupProtocol": protocol}).client).close()
    Producer(producer().client)
