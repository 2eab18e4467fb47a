"""The Kafka binder, on confluent-kafka; and a small broker for tests that lives inside this process."""

from operator import attrgetter

from streambind.binders.kafka.binder import KafkaBinder
from streambind.binders.kafka.embedded import EmbeddedBroker
from streambind.binders.kafka.pattern import pattern_fault
from streambind.binders.kafka.properties import (
    KafkaBinderProperties,
    KafkaConsumerProperties,
    KafkaProducerProperties,
)
from streambind.binders.kafka.provisioning import (
    dead_letter_format,
    dead_letter_partition,
    dead_letter_topic,
    topic_fault,
)
from streambind.binding.binder_type import BinderType

KAFKA = BinderType(
    name="kafka",
    binder_properties=KafkaBinderProperties,
    consumer_properties=KafkaConsumerProperties,
    producer_properties=KafkaProducerProperties,
    create=KafkaBinder,
    dead_letter_destination=dead_letter_topic,
    dead_letter_partition=dead_letter_partition,
    message_key_expression=attrgetter("message_key_expression"),
    destination_fault=topic_fault,
    input_fault=pattern_fault,
    dead_letter_format=dead_letter_format,
)

__all__ = ["KAFKA", "EmbeddedBroker", "KafkaBinder"]
