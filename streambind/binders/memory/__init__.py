"""An in-process broker with Kafka's semantics, and the binder for it: for tests and for trying things out."""

from operator import attrgetter

from streambind.binders.memory.binder import MemoryBinder
from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.properties import (
    MemoryBinderProperties,
    MemoryConsumerProperties,
    MemoryProducerProperties,
    dead_letter_destination,
    dead_letter_format,
    dead_letter_partition,
    destination_fault,
    input_fault,
)
from streambind.binding.binder_type import BinderType

MEMORY = BinderType(
    name="memory",
    binder_properties=MemoryBinderProperties,
    consumer_properties=MemoryConsumerProperties,
    producer_properties=MemoryProducerProperties,
    create=MemoryBinder,
    dead_letter_destination=dead_letter_destination,
    dead_letter_partition=dead_letter_partition,
    message_key_expression=attrgetter("message_key_expression"),
    destination_fault=destination_fault,
    input_fault=input_fault,
    dead_letter_format=dead_letter_format,
)

__all__ = ["MEMORY", "MemoryBinder", "MemoryBroker"]
