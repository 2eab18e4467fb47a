"""The memory binder's properties.

Every name of the Kafka binder is accepted, so that a test changes the root key and nothing else; what has no
meaning in memory says so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from streambind.configuration.properties import DeadLetterFormat, NoEffect, Properties

Ignored: TypeAlias = Annotated[Any, NoEffect("the memory broker has nothing to set here")]
IgnoredMap: TypeAlias = Annotated[dict[str, Any] | None, NoEffect("the memory broker has nothing to set here")]


class MemoryBinderProperties(Properties):
    """`spring.cloud.stream.memory.binder.*`. Binders with the same `name` in one process share a broker."""

    name: str = "default"
    min_partition_count: int = Field(1, ge=1)
    auto_create_topics: bool = True
    auto_add_partitions: bool = False
    brokers: Ignored = None
    default_broker_port: Ignored = None
    configuration: IgnoredMap = None
    consumer_properties: IgnoredMap = None
    producer_properties: IgnoredMap = None
    required_acks: Ignored = None
    replication_factor: Ignored = None
    auto_alter_topics: Ignored = None
    jaas: IgnoredMap = None
    headers: Ignored = None
    header_mapper_bean_name: Ignored = None
    health_timeout: Ignored = None
    health_indicator_consumer_group: Ignored = None
    consider_down_when_any_partition_has_no_leader: Ignored = None
    transaction: IgnoredMap = None
    authorization_exception_retry_interval: Ignored = None
    certificate_store_directory: Ignored = None
    metrics: IgnoredMap = None
    enable_observation: Ignored = None


class MemoryConsumerProperties(Properties):
    """`spring.cloud.stream.memory.bindings.<name>.consumer.*`

    Of `configuration` only `max.poll.records` counts: the most messages of a batch.
    """

    start_offset: Literal["earliest", "latest"] | None = None
    enable_dlq: bool = False
    dlq_name: str | None = None
    dlq_format: DeadLetterFormat = DeadLetterFormat.SPRING_CLOUD_STREAM
    dlq_partitions: int | None = Field(None, ge=1)
    configuration: dict[str, Any] = Field(default_factory=dict)
    topic: IgnoredMap = None
    group_protocol: Ignored = None
    group_instance_id: Ignored = None
    destination_is_pattern: Ignored = None
    poll_timeout: Ignored = None
    auto_rebalance_enabled: Ignored = None
    ack_mode: Ignored = None
    auto_commit_on_error: Ignored = None
    auto_commit_offset: Ignored = None
    ack_each_record: Ignored = None
    recovery_interval: Ignored = None
    reset_offsets: Ignored = None
    dlq_producer_properties: IgnoredMap = None
    trusted_packages: Ignored = None
    standard_headers: Ignored = None
    converter_bean_name: Ignored = None
    idle_event_interval: Ignored = None
    transaction_manager: Ignored = None
    tx_commit_recovered: Ignored = None
    common_error_handler_bean_name: Ignored = None
    reactive_auto_commit: Ignored = None
    reactive_at_most_once: Ignored = None

    @property
    def max_batch(self) -> int:
        return int(self.configuration.get("max.poll.records", 500))


class MemoryProducerProperties(Properties):
    """`spring.cloud.stream.memory.bindings.<name>.producer.*`"""

    message_key_expression: str | None = None
    sync: Ignored = None
    compression_type: Ignored = None
    buffer_size: Ignored = None
    batch_timeout: Ignored = None
    configuration: IgnoredMap = None
    topic: IgnoredMap = None
    send_timeout_expression: Ignored = None
    header_patterns: Ignored = None
    use_topic_header: Ignored = None
    record_metadata_channel: Ignored = None
    transaction_manager: Ignored = None
    close_timeout: Ignored = None
    allow_non_transactional: Ignored = None


def dead_letter_destination(
    destination: str, group: str | None, properties: MemoryConsumerProperties
) -> str | None:
    """`dlqName`, or the format's own name; None without `enableDlq` and for anonymous groups."""
    if not properties.enable_dlq or group is None:
        return None
    return properties.dlq_name or properties.dlq_format.destination(destination, group)


def dead_letter_partition(source_partition: int, properties: MemoryConsumerProperties) -> int | None:
    """The source's partition, as in Spring; 0 if there is only one."""
    return 0 if properties.dlq_partitions == 1 else source_partition


def destination_fault(_destination: str, _properties: object) -> str | None:
    """Any name will do."""
    return None


def input_fault(_target: object) -> str | None:
    """Any input will do."""
    return None


def dead_letter_format(properties: MemoryConsumerProperties) -> DeadLetterFormat:
    """`dlqFormat`."""
    return properties.dlq_format
