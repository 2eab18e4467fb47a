"""The Kafka binder's properties, with Spring's names and defaults.

`spring.cloud.stream.kafka.binder.*`, and per binding `spring.cloud.stream.kafka.bindings.<name>.consumer.*` and
`.producer.*`. Settings of the client itself stand in the `configuration` maps, under librdkafka's names or the
Java client's; an unknown one is an error with the nearest right name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from streambind.binders.kafka.cautions import cautions
from streambind.binders.kafka.setting_names import checked_setting
from streambind.configuration.durations import Milliseconds, Seconds
from streambind.configuration.properties import DeadLetterFormat, NoEffect, Properties


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


ClientSettings = dict[Annotated[str, AfterValidator(checked_setting)], Annotated[str, BeforeValidator(_text)]]
"""Settings of the client; values are text, as in a Spring file's map."""


def _listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


TextList = Annotated[tuple[str, ...], BeforeValidator(_listed)]

_BEAN = NoEffect("there are no beans here")
_TRANSACTIONS = NoEffect("the outbox and the positions in the database give exactly-once effects without it")
_HEALTH = NoEffect("health is read from the running bindings")
_METRICS = NoEffect("lag is measured by the management endpoint")
_ACKS = NoEffect("a returned handler is done, a raised one is not; offsets follow")


class JaasProperties(Properties):
    """`binder.jaas.*`"""

    login_module: str = Field(
        "com.sun.security.auth.module.Krb5LoginModule", description="how to log in; Plain, Scram or Krb5"
    )
    control_flag: Annotated[str, NoEffect("there is one login module")] = "required"
    options: dict[str, str] = Field(default_factory=dict, repr=False, description="of the login module")


class TopicProperties(Properties):
    """`consumer.topic.*` and `producer.topic.*`: how a missing topic is made."""

    properties: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(
        default_factory=dict, description="settings of a new topic"
    )
    replicas_assignment: dict[int, list[int]] = Field(
        default_factory=dict, alias="replicas-assignment", description="of a new topic: partition to brokers"
    )
    replication_factor: int | None = Field(
        None, alias="replication-factor", description="of a new topic; unset: the binder's"
    )


class KafkaBinderProperties(Properties):
    """`spring.cloud.stream.kafka.binder.*`"""

    brokers: TextList = Field(("localhost",), description="`host:port`, with commas")
    default_broker_port: int = Field(9092, description="of brokers without one")
    configuration: ClientSettings = Field(
        default_factory=dict, repr=False, description="settings of all clients, librdkafka's or the Java client's"
    )
    consumer_properties: ClientSettings = Field(default_factory=dict, repr=False, description="of consumers")
    producer_properties: ClientSettings = Field(default_factory=dict, repr=False, description="of producers")
    required_acks: str = Field("all", description="`all`, `1` or `0`; below `all` messages can be lost")
    min_partition_count: int = Field(1, ge=1, description="partitions that every topic needs")
    replication_factor: int = Field(-1, description="of new topics; -1: the broker's")
    auto_create_topics: bool = Field(True, description="make missing topics")
    auto_add_partitions: bool = Field(False, description="add missing partitions")
    jaas: JaasProperties | None = None
    auto_alter_topics: Annotated[bool, NoEffect("an existing topic's settings are left alone")] = False
    headers: Annotated[TextList, NoEffect("headers travel as Kafka headers, never embedded")] = ()
    header_mapper_bean_name: Annotated[str | None, _BEAN] = None
    health_timeout_s: Annotated[Seconds, _HEALTH] = Field(60, alias="healthTimeout")
    health_indicator_consumer_group: Annotated[str | None, _HEALTH] = None
    consider_down_when_any_partition_has_no_leader: Annotated[bool, _HEALTH] = True
    transaction: Annotated[dict[str, Any], _TRANSACTIONS] = Field(default_factory=dict)
    authorization_exception_retry_interval: Annotated[str | None, NoEffect("the client tries again")] = None
    certificate_store_directory: Annotated[str | None, NoEffect("the client reads files only")] = None
    metrics: Annotated[dict[str, Any], _METRICS] = Field(default_factory=dict)
    enable_observation: Annotated[bool, NoEffect("`traceparent` is kept and passed on")] = False

    def cautions(self) -> Mapping[str, str]:
        return cautions(self.brokers, (self.configuration, self.consumer_properties, self.producer_properties))

    @field_validator("brokers")
    @classmethod
    def _with_ports_that_are_numbers(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for broker in brokers:
            _, colon, port = broker.rpartition("//")[2].rpartition("]")[2].rpartition(":")
            if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"{broker!r} is no host:port: the port must be a number from 1 to 65535")
        return brokers

    @field_validator("required_acks", mode="before")
    @classmethod
    def _acks(cls, value: Any) -> Any:
        text = str(value).lower()
        if text not in ("all", "-1", "0", "1"):
            raise ValueError("requiredAcks is all, 1 or 0")
        return "all" if text == "-1" else text


class KafkaConsumerProperties(Properties):
    """`spring.cloud.stream.kafka.bindings.<name>.consumer.*`

    `group_protocol` and `group_instance_id` are streambind's own: `consumer` is the newer protocol (KIP-848,
    brokers from 4.0), and an instance with a stable id that restarts within the session takes its partitions
    back without a rebalance.
    """

    start_offset: Literal["earliest", "latest"] | None = Field(
        None, description="where a new group begins; unset: earliest, anonymous ones at latest"
    )
    enable_dlq: bool = Field(False, description="send what keeps failing to a dead-letter topic")
    dlq_name: str | None = Field(None, description="its name; unset: as the format has it")
    dlq_format: DeadLetterFormat = Field(
        DeadLetterFormat.SPRING_CLOUD_STREAM,
        description="whose headers and names dead letters have: at `error.<destination>.<group>`, "
        "`<destination>-dlt` or `<destination>.DLT`",
    )
    dlq_partitions: int | None = Field(None, ge=1, description="its partitions; unset: as many as the source has")
    configuration: ClientSettings = Field(
        default_factory=dict, repr=False, description="settings of this binding's client"
    )
    destination_is_pattern: bool = Field(
        False, description="the destination is a regular expression; not with a `Session`, nor dead letters"
    )
    poll_timeout_ms: Annotated[Milliseconds, NoEffect("messages are handed on as they come")] = Field(
        5000, alias="pollTimeout"
    )
    topic: TopicProperties = Field(default_factory=TopicProperties)
    group_protocol: Literal["classic", "consumer"] = Field("classic", description="`consumer`: KIP-848")
    group_instance_id: str | None = Field(None, description="a stable name of this instance")
    auto_rebalance_enabled: Annotated[bool, NoEffect("partitions are assigned by the group")] = True
    ack_mode: Annotated[str | None, _ACKS] = None
    auto_commit_on_error: Annotated[bool | None, _ACKS] = None
    auto_commit_offset: Annotated[bool, _ACKS] = True
    ack_each_record: Annotated[bool, _ACKS] = False
    recovery_interval: Annotated[Milliseconds, NoEffect("the client reconnects by itself")] = 5000
    reset_offsets: Annotated[bool, NoEffect("a position is moved by a command, not by every start")] = False
    dlq_producer_properties: Annotated[
        dict[str, Any], NoEffect("dead letters leave with the binder's producer settings")
    ] = Field(default_factory=dict)
    trusted_packages: Annotated[TextList, NoEffect("no class is ever loaded by a message's word")] = ()
    standard_headers: Annotated[
        Literal["none", "id", "timestamp", "both"], NoEffect("a Message has offset and timestamp as fields")
    ] = "none"
    converter_bean_name: Annotated[str | None, _BEAN] = None
    idle_event_interval: Annotated[Milliseconds, NoEffect("there are no application events here")] = 30_000
    transaction_manager: Annotated[str | None, _BEAN] = None
    tx_commit_recovered: Annotated[bool, _TRANSACTIONS] = True
    common_error_handler_bean_name: Annotated[str | None, _BEAN] = None
    reactive_auto_commit: Annotated[bool, _ACKS] = False
    reactive_at_most_once: Annotated[bool, _ACKS] = False


class KafkaProducerProperties(Properties):
    """`spring.cloud.stream.kafka.bindings.<name>.producer.*`

    `buffer_size` unset leaves the client's own batch size, which is larger than Java's 16384.
    """

    buffer_size: int | None = Field(None, ge=1, description="bytes of a batch; unset: the client's own")
    batch_timeout_ms: Milliseconds = Field(
        0, alias="batchTimeout", description="how long a batch waits for more messages"
    )
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field("none", description="of batches")
    configuration: ClientSettings = Field(
        default_factory=dict, repr=False, description="settings of this binding's client"
    )
    topic: TopicProperties = Field(default_factory=TopicProperties)
    message_key_expression: str | None = Field(
        None, description="the key of what code gives none: `payload.a.b` or `headers['k']`"
    )
    sync: Annotated[bool, NoEffect("every message is accounted for")] = False
    send_timeout_expression: Annotated[str | None, NoEffect("set producer.sendTimeout of the binding")] = None
    header_patterns: Annotated[TextList, NoEffect("all headers travel")] = ()
    use_topic_header: Annotated[bool, NoEffect("a binding has one destination")] = False
    record_metadata_channel: Annotated[str | None, NoEffect("a Receipt tells where a message went")] = None
    transaction_manager: Annotated[str | None, _BEAN] = None
    close_timeout_s: Annotated[Seconds, NoEffect("the shutdown time-out bounds it")] = Field(
        0, alias="closeTimeout"
    )
    allow_non_transactional: Annotated[bool, _TRANSACTIONS] = False
