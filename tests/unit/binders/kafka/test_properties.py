"""The binder's properties: Spring's names, its defaults, and unknown settings of the client."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from streambind.binders.kafka.librdkafka import setting_names
from streambind.binders.kafka.properties import (
    KafkaBinderProperties,
    KafkaConsumerProperties,
    KafkaProducerProperties,
)
from streambind.binders.kafka.setting_names import RENAMED, TRANSLATED, WITHOUT_EFFECT


def test_springs_defaults() -> None:
    binder = KafkaBinderProperties()
    assert (binder.brokers, binder.default_broker_port, binder.required_acks) == (("localhost",), 9092, "all")
    assert (binder.min_partition_count, binder.replication_factor) == (1, -1)
    assert (binder.auto_create_topics, binder.auto_add_partitions) == (True, False)
    consumer = KafkaConsumerProperties()
    assert (consumer.enable_dlq, consumer.dlq_name, consumer.dlq_partitions) == (False, None, None)
    assert (consumer.start_offset, consumer.destination_is_pattern) == (None, False)
    assert (consumer.group_protocol, consumer.group_instance_id) == ("classic", None)
    producer = KafkaProducerProperties()
    assert (producer.batch_timeout_ms, producer.compression_type) == (0, "none")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("max.pol.records", "did you mean 'max.poll.records'?"),
        ("fetch.max.wait", "did you mean 'fetch.max.wait.ms'?"),
        ("sesion.timeout.ms", "did you mean 'session.timeout.ms'?"),
        ("value.serialiser", "did you mean 'value.serializer'?"),
        ("error_cb", "no setting 'error_cb'"),
        ("qwertyuiop", "configuration properties"),
    ],
)
def test_an_unknown_setting_is_named_with_the_nearest_right_one(name: str, remedy: str) -> None:
    with pytest.raises(ValidationError) as raised:
        KafkaConsumerProperties.model_validate({"configuration": {name: 1}})
    (error,) = raised.value.errors()
    assert error["loc"][:2] == ("configuration", name)
    assert remedy in error["msg"]


def test_every_name_that_spring_files_hold_is_accepted() -> None:
    names = [*RENAMED, *TRANSLATED, *WITHOUT_EFFECT, "spring.json.trusted.packages", "acks", "max.poll.records"]
    KafkaBinderProperties.model_validate({"configuration": dict.fromkeys(names, "1")})


def test_what_names_are_translated_to_exists() -> None:
    assert set(RENAMED.values()) <= setting_names().keys()
    assert not set(RENAMED) & setting_names().keys()


def test_values_of_maps_are_text_as_in_a_spring_file() -> None:
    binder = KafkaBinderProperties.model_validate(
        {"configuration": {"socket.keepalive.enable": True, "fetch.min.bytes": 5}}
    )
    assert binder.configuration == {"socket.keepalive.enable": "true", "fetch.min.bytes": "5"}


@pytest.mark.parametrize(("value", "expected"), [("all", "all"), (-1, "all"), ("1", "1"), (0, "0")])
def test_acknowledgements(value: object, expected: str) -> None:
    assert KafkaBinderProperties.model_validate({"requiredAcks": value}).required_acks == expected


def test_other_acknowledgements_are_refused() -> None:
    with pytest.raises(ValidationError, match="all, 1 or 0"):
        KafkaBinderProperties.model_validate({"requiredAcks": 2})


@pytest.mark.parametrize("brokers", ["a", "a,b:9092", "[::1]:9092", "[::1]", "PLAINTEXT://a", "SSL://a:9093"])
def test_brokers_with_and_without_a_port_are_accepted(brokers: str) -> None:
    assert KafkaBinderProperties.model_validate({"brokers": brokers}).brokers


@pytest.mark.parametrize("brokers", ["localhost:abc", "localhost:", "a:9092,b:0", "a:65536", "[::1]:x"])
def test_a_port_that_is_no_number_is_refused(brokers: str) -> None:
    with pytest.raises(ValidationError, match="is no host:port"):
        KafkaBinderProperties.model_validate({"brokers": brokers})
