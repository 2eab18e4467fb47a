"""What a package that brings a binder tells of it, before one is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streambind.binding.binder import Binder, ConsumerTarget
from streambind.configuration.properties import DeadLetterFormat, Properties


@dataclass(frozen=True, slots=True)
class BinderType:
    """What an entry point of the group `streambind.binders` refers to: a broker's name (the key segment under
    `spring.cloud.stream`), the models of its properties, and how to make a binder from them.

    `dead_letter_destination(destination, group, consumer_properties)` names where dead letters go, None if the
    consumer's properties do not ask for any; `dead_letter_partition(source_partition, consumer_properties)`
    picks the partition there (None: by key), `dead_letter_format(consumer_properties)` says how they look.
    `message_key_expression(producer_properties)` is the expression that makes the keys of messages without one,
    None if there is none. `destination_fault(destination, properties)` says why the broker could never have a
    destination of that name, given the binding's consumer or producer properties; None if it could.
    `input_fault(target)` says why the binder could never bind such an input; None if it could.
    """

    name: str
    binder_properties: type[Properties]
    consumer_properties: type[Properties]
    producer_properties: type[Properties]
    create: Callable[[Any], Binder]
    dead_letter_destination: Callable[[str, str | None, Any], str | None]
    dead_letter_partition: Callable[[int, Any], int | None]
    message_key_expression: Callable[[Any], str | None]
    destination_fault: Callable[[str, Any], str | None]
    input_fault: Callable[[ConsumerTarget], str | None]
    dead_letter_format: Callable[[Any], DeadLetterFormat]
