"""A memory binder that understands the properties of other binders, as far as memory has the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from streambind.binders.memory import MemoryBinder
from streambind.binders.memory.properties import MemoryConsumerProperties, MemoryProducerProperties
from streambind.binding.binder import (
    Capabilities,
    ConsumerBinding,
    ConsumerTarget,
    Deliver,
    DestinationInfo,
    ProducerBinding,
    ProducerTarget,
)
from streambind.configuration.properties import Properties
from streambind.message import Message

P = TypeVar("P", bound=Properties)

_RESET = "auto.offset.reset"


def translated(properties: Properties, model: type[P]) -> P:
    """The values that were set and that the other model has a field of the same name for."""
    given: dict[str, Any] = properties.model_dump(by_alias=True, exclude_unset=True)
    known = {field.alias or name for name, field in model.model_fields.items()}
    return model.model_validate({name: value for name, value in given.items() if name in known})


class TranslatingBinder:
    """A `Binder` on a memory broker for bindings that are configured for another binder."""

    def __init__(self, memory: MemoryBinder) -> None:
        self._memory = memory

    @property
    def capabilities(self) -> Capabilities:
        return self._memory.capabilities

    def bind_consumer(self, target: ConsumerTarget, deliver: Deliver) -> ConsumerBinding:
        properties = translated(target.extended, MemoryConsumerProperties)
        start = properties.configuration.get(_RESET)
        if properties.start_offset is None and start in ("earliest", "latest"):
            properties = properties.model_copy(update={"start_offset": start})
        return self._memory.bind_consumer(replace(target, extended=properties), deliver)

    def bind_producer(self, target: ProducerTarget) -> ProducerBinding:
        properties = translated(target.extended, MemoryProducerProperties)
        return self._memory.bind_producer(replace(target, extended=properties))

    def describe(self, destination: str, timeout_ms: int) -> DestinationInfo | None:
        return self._memory.describe(destination, timeout_ms)

    def committed(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, int]:
        return self._memory.committed(group, destination, timeout_ms)

    def commit(self, group: str, destination: str, offsets: Mapping[int, int], timeout_ms: int) -> None:
        self._memory.commit(group, destination, offsets, timeout_ms)

    def owners(self, group: str, destination: str, timeout_ms: int) -> Mapping[int, str] | None:
        return self._memory.owners(group, destination, timeout_ms)

    def offsets_at(self, destination: str, timestamp_ms: int, timeout_ms: int) -> Mapping[int, int]:
        return self._memory.offsets_at(destination, timestamp_ms, timeout_ms)

    def read(
        self, destination: str, starts: Mapping[int, int], timeout_ms: int, *, each: int | None = None
    ) -> Sequence[Message]:
        return self._memory.read(destination, starts, timeout_ms, each=each)

    def close(self, timeout_ms: int) -> None:
        self._memory.close(timeout_ms)
