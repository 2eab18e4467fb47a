"""The memory binder's properties: the names of Kafka's, so that a test changes the root key and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from streambind.configuration.properties import NoEffect, Properties

_IN_MEMORY = NoEffect("the memory broker has neither connections nor files")
_DECIDED = NoEffect("streambind reports offsets itself")
_HERE = NoEffect("the memory broker creates destinations without settings")


class MemoryBinderProperties(Properties):
    """`spring.cloud.stream.memory.binder.*`. Binders with the same `name` in one process share a broker."""

    name: str = "default"
    min_partition_count: int = Field(1, ge=1)
    auto_create_topics: bool = True
    auto_add_partitions: bool = False
    brokers: Annotated[Any, _IN_MEMORY] = None
    configuration: Annotated[dict[str, Any] | None, _IN_MEMORY] = None
    consumer_properties: Annotated[dict[str, Any] | None, _IN_MEMORY] = None
    producer_properties: Annotated[dict[str, Any] | None, _IN_MEMORY] = None
    required_acks: Annotated[Any, _IN_MEMORY] = None
    replication_factor: Annotated[Any, _IN_MEMORY] = None


class MemoryConsumerProperties(Properties):
    """`spring.cloud.stream.memory.bindings.<name>.consumer.*`.

    Of `configuration` only `max.poll.records` counts: the size of a batch.
    """

    start_offset: Literal["earliest", "latest"] | None = None
    reset_offsets: bool = False
    enable_dlq: bool = False
    dlq_name: str | None = None
    dlq_partitions: int | None = Field(None, ge=1)
    configuration: dict[str, Any] = Field(default_factory=dict)
    auto_rebalance_enabled: Annotated[bool, NoEffect("groups always share partitions here")] = True
    ack_mode: Annotated[str | None, _DECIDED] = None
    topic: Annotated[dict[str, Any] | None, _HERE] = None

    @property
    def max_batch(self) -> int:
        return int(self.configuration.get("max.poll.records", 500))


class MemoryProducerProperties(Properties):
    """`spring.cloud.stream.memory.bindings.<name>.producer.*`"""

    sync: Annotated[bool, NoEffect("every send is confirmed")] = False
    compression_type: Annotated[str | None, _IN_MEMORY] = None
    buffer_size: Annotated[Any, _IN_MEMORY] = None
    batch_timeout: Annotated[Any, _IN_MEMORY] = None
    configuration: Annotated[dict[str, Any] | None, _IN_MEMORY] = None
    topic: Annotated[dict[str, Any] | None, _HERE] = None


def dead_letter_destination(
    destination: str, group: str | None, properties: MemoryConsumerProperties
) -> str | None:
    """`dlqName`, or `error.<destination>.<group>`; None without `enableDlq` and for anonymous groups."""
    if not properties.enable_dlq or group is None:
        return None
    return properties.dlq_name or f"error.{destination}.{group}"


def dead_letter_partition(source_partition: int, properties: MemoryConsumerProperties) -> int | None:
    """The source's partition, as in Spring; 0 if there is only one."""
    return 0 if properties.dlq_partitions == 1 else source_partition
