"""The broker of one test, and binders that lead to it under the names that applications have configured."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambind.binders.kafka import KAFKA, EmbeddedBroker
from streambind.binders.kafka.properties import KafkaBinderProperties
from streambind.binders.memory import MEMORY, MemoryBinder, MemoryBroker
from streambind.binders.memory.properties import MemoryBinderProperties
from streambind.binding.binder import Binder, DestinationInfo
from streambind.binding.binder_type import BinderType
from streambind.binding.factory import binder_types
from streambind.errors import BrokerUnavailableError
from streambind.message import Message
from streambind.testing.prefixed import PrefixedBinder
from streambind.testing.translated import TranslatingBinder, translated

_TIMEOUT_MS = 10_000
_REACHABLE_MS = 5_000
_SECURITY = ("security.", "sasl.", "ssl.", "bootstrap.servers")

_QUICK = {"session.timeout.ms": "2000", "heartbeat.interval.ms": "100"}
"""The embedded broker lets a group that became empty wait for a second less than the session's time-out."""


class StandIn(Protocol):
    """One test's broker; empty at first."""

    def types(self) -> Mapping[str, BinderType]:
        """Binder types under the names of the installed ones, for `StreamApplication.use_binders`."""
        ...

    def describe(self, destination: str) -> DestinationInfo | None: ...
    def read(self, destination: str, starts: Mapping[int, int]) -> Sequence[Message]: ...


@contextlib.contextmanager
def stand_in(broker: str) -> Iterator[StandIn]:
    """The broker for a value of `--streambind-broker`, for the length of the block.

    Raises:
        BrokerUnavailableError: at `host:port` nothing answers.
    """
    name = f"test-{uuid.uuid4().hex[:12]}"
    with MemoryBroker.fresh(name):
        if broker == "memory":
            yield MemoryStandIn(name)
        elif broker == "embedded":
            with EmbeddedBroker() as embedded:
                kafka = KafkaStandIn(embedded.address, name, consumer=_QUICK)
                with contextlib.closing(kafka):
                    yield kafka
        else:
            with contextlib.closing(KafkaStandIn(broker, name, prefix=f"{name}-")) as kafka:
                kafka.require_reachable()
                yield kafka


def memory_type(name: str) -> BinderType:
    """The memory binder, on the test's broker whatever name is configured."""
    return replace(MEMORY, create=lambda properties: MemoryBinder(properties.model_copy(update={"name": name})))


class MemoryStandIn:
    """Every binder leads to one memory broker; their properties keep the meaning that memory has for them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._observer = self._binder(MemoryBinderProperties())

    def types(self) -> Mapping[str, BinderType]:
        others = {name: replace(kind, create=self._translating) for name, kind in binder_types().items()}
        return {**others, MEMORY.name: memory_type(self._name)}

    def describe(self, destination: str) -> DestinationInfo | None:
        return self._observer.describe(destination, _TIMEOUT_MS)

    def read(self, destination: str, starts: Mapping[int, int]) -> Sequence[Message]:
        return self._observer.read(destination, starts, _TIMEOUT_MS)

    def _translating(self, properties: Any) -> Binder:
        return TranslatingBinder(self._binder(properties))

    def _binder(self, properties: Any) -> MemoryBinder:
        known = translated(properties, MemoryBinderProperties)
        return MemoryBinder(known.model_copy(update={"name": self._name}))


class KafkaStandIn:
    """Kafka binders lead to one broker. With a `prefix`, topics and groups have it there, and nowhere else.
    `consumer` are settings of the client where the application has none."""

    def __init__(
        self, address: str, name: str, *, prefix: str = "", consumer: Mapping[str, str] | None = None
    ) -> None:
        self._address = address
        self._name = name
        self._prefix = prefix
        self._consumer = consumer or {}
        self._is_reached = False
        self._observer = self._binder(KafkaBinderProperties())

    def types(self) -> Mapping[str, BinderType]:
        kafka = replace(KAFKA, create=self._binder)
        return {**binder_types(), KAFKA.name: kafka, MEMORY.name: memory_type(self._name)}

    def describe(self, destination: str) -> DestinationInfo | None:
        return self._observer.describe(destination, _TIMEOUT_MS)

    def read(self, destination: str, starts: Mapping[int, int]) -> Sequence[Message]:
        return self._observer.read(destination, starts, _TIMEOUT_MS)

    def require_reachable(self) -> None:
        """
        Raises:
            BrokerUnavailableError: nothing answers.
        """
        try:
            self._observer.describe(self._name, _REACHABLE_MS)
            self._is_reached = True
        except BrokerUnavailableError as error:
            raise BrokerUnavailableError(f"--streambind-broker={self._address}: {error}") from error

    def close(self) -> None:
        """Let go; what the test has left on a broker that goes on is deleted there."""
        self._observer.close(_TIMEOUT_MS)
        if self._is_reached:
            with contextlib.suppress(KafkaException):
                admin = AdminClient({"bootstrap.servers": self._address, "log_level": "0"})
                names = [name for name in admin.list_topics(timeout=5).topics if name.startswith(self._prefix)]
                for deleted in admin.delete_topics(names).values() if names else ():
                    deleted.result(5)

    def _binder(self, properties: KafkaBinderProperties) -> Binder:
        """Configured security is left out: the test's broker has none."""
        mine: dict[str, Any] = {"brokers": tuple(self._address.split(",")), "jaas": None, "replication_factor": -1}
        for name in ("configuration", "consumer_properties", "producer_properties"):
            settings: Mapping[str, str] = getattr(properties, name)
            mine[name] = {key: value for key, value in settings.items() if not key.startswith(_SECURITY)}
        mine["consumer_properties"] = {**self._consumer, **mine["consumer_properties"]}
        binder = KAFKA.create(properties.model_copy(update=mine))
        return PrefixedBinder(binder, self._prefix) if self._prefix else binder
