"""The schema of `spring.cloud.stream` and `streambind`: names, types and defaults as Spring has them.

A field's Spring name is its alias, or its own name in camelCase; the loader compares names relaxed
(`enableDlq` = `enable-dlq` = `ENABLE_DLQ`). `NoEffect` marks what Spring knows and streambind does not need:
setting it is a warning with the reason.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr

from streambind.configuration.durations import Milliseconds, Seconds
from streambind.configuration.outbox_properties import Fencing, OutboxProperties
from streambind.configuration.parking_properties import ParkingProperties
from streambind.configuration.property_model import NoEffect, Properties

__all__ = [
    "BinderConfigurationProperties",
    "BindingProperties",
    "ConsumerProperties",
    "DatasourceProperties",
    "DeadLetterFormat",
    "EventsProperties",
    "Fencing",
    "Milliseconds",
    "NoEffect",
    "OnError",
    "OutboxProperties",
    "ParkingProperties",
    "PollerProperties",
    "ProducerProperties",
    "Properties",
    "Publish",
    "Seconds",
    "StreamProperties",
]


_PAYLOADS = NoEffect("payloads are decoded and encoded by content type")
_PARTITIONS = NoEffect("the group assigns partitions to instances")
_BEANS = NoEffect("there are no beans here")
_BY_KEY = NoEffect("the key decides the partition, as in the Java client")
_FUNCTIONS = NoEffect("there are no function beans; listeners and publishers name their binding")
_CHANNELS = NoEffect("bindings are declared under `bindings`, and the code decides their direction")
_HEADERS = NoEffect("headers travel as headers of the record")
_UNLIMITED = NoEffect("a binding is made once and kept")
_REGISTRY = NoEffect("there is no schema registry")


class OnError(StrEnum):
    """What becomes of a message whose tries are used up. `park`: it waits in the database, and so do later ones of
    its key, in order; other keys go on."""

    PARK = "park"
    DLQ = "dlq"
    STOP = "stop"
    SKIP = "skip"


class DeadLetterFormat(StrEnum):
    """Whose headers and whose destination dead letters have: Spring Cloud Stream's (`x-*`, at
    `error.<destination>.<group>`), Spring Kafka's (`kafka_dlt-*`, at `<destination>-dlt`), or those of Spring
    Kafka 2 (at `<destination>.DLT`)."""

    SPRING_CLOUD_STREAM = "spring-cloud-stream"
    SPRING_KAFKA = "spring-kafka"
    SPRING_KAFKA_2 = "spring-kafka-2"

    def destination(self, source: str, group: str) -> str:
        """Where the dead letters of a source go, unless a name is given."""
        match self:
            case DeadLetterFormat.SPRING_CLOUD_STREAM:
                return f"error.{source}.{group}"
            case DeadLetterFormat.SPRING_KAFKA:
                return f"{source}-dlt"
            case DeadLetterFormat.SPRING_KAFKA_2:
                return f"{source}.DLT"


class Publish(StrEnum):
    """How captured events leave: with the outbox (nothing lost), or after the commit (can be lost)."""

    OUTBOX = "outbox"
    AFTER_COMMIT = "after-commit"
    DIRECT = "direct"


class ConsumerProperties(Properties):
    """`bindings.<name>.consumer.*`"""

    auto_startup: bool = Field(True, description="bind at start; else by a command")
    concurrency: int = Field(1, ge=1, description="workers; each has its own partitions")
    max_attempts: int = Field(3, ge=1, description="tries of a message, the first included")
    back_off_initial_interval_ms: Milliseconds = Field(
        1000, alias="backOffInitialInterval", description="pause before the second try"
    )
    back_off_max_interval_ms: Milliseconds = Field(
        10_000, alias="backOffMaxInterval", description="longest pause between tries"
    )
    back_off_multiplier: float = Field(2.0, ge=1.0, description="growth of the pause")
    default_retryable: bool = Field(True, description="whether other errors are tried again")
    retryable_exceptions: dict[str, bool] = Field(
        default_factory=dict, description="by class of the error: whether it is tried again"
    )
    batch_mode: Annotated[bool, NoEffect("a listener that takes `list[X]` gets batches")] = False
    instance_count: int = Field(-1, description="instances of the service; -1: the service's")
    on_error: OnError | None = Field(
        None,
        description="when the tries are used up; unset: `dlq` if the binder's `enableDlq` is set, else `park` "
        "where a listener takes a session, else `stop`",
    )
    parking: ParkingProperties = Field(default_factory=ParkingProperties)
    on_error_of: dict[str, OnError] = Field(
        default_factory=dict,
        description="the same by class of the error, such as `ValueError` or `shop.errors.Gone`",
    )
    dedupe: str | None = Field(
        None, description="the id of foreign messages, which are handled once: `headers['id']` or `payload.id`"
    )
    dedupe_retention_ms: Milliseconds = Field(
        7 * 86_400_000, alias="dedupeRetention", ge=1000, description="how long an id is remembered"
    )
    commit_after_ms: Milliseconds = Field(
        1000,
        alias="commitAfter",
        ge=1,
        description="where a listener takes a session and a single message: after this time what is handled of a "
        "batch is committed, and the rest goes on in a transaction of its own",
    )
    max_payload_bytes: int = Field(
        1_048_576, ge=1, description="the largest payload that is decoded; a larger one fails before that"
    )
    max_headers: int = Field(64, ge=1, description="the most headers of a message that are decoded")
    max_header_bytes: int = Field(
        65_536, ge=1, description="the most bytes in the headers of a message, names included, that are decoded"
    )
    sequence: Literal["trust", "ignore"] = Field(
        "trust", description="whether the sequence numbers of a streambind producer are checked"
    )
    replay: bool = Field(
        False,
        description="also listen to `retry.<destination>.<group>`, through which `streambind dlq retry` brings "
        "back dead letters; where listeners take a session they come through the database",
    )
    partitioned: Annotated[bool, _PARTITIONS] = False
    instance_index: Annotated[int, _PARTITIONS] = -1
    instance_index_list: Annotated[list[int], _PARTITIONS] = Field(default_factory=list)
    retry_template_name: Annotated[str | None, _BEANS] = None
    header_mode: Annotated[Literal["headers", "none", "embeddedHeaders"], _HEADERS] = "headers"
    use_native_decoding: Annotated[bool, _PAYLOADS] = False
    multiplex: Annotated[bool, NoEffect("several destinations share one consumer anyway")] = False


class PollerProperties(Properties):
    """`bindings.<name>.producer.poller.*`"""

    fixed_delay: str = "1s"
    max_messages_per_poll: int = 1
    cron: str | None = None
    initial_delay: str = "0"


class ProducerProperties(Properties):
    """`bindings.<name>.producer.*`"""

    auto_startup: bool = Field(True, description="bind at start; else by a command")
    partition_count: int = Field(1, ge=1, description="partitions that the destination needs")
    publish: Publish = Field(Publish.OUTBOX, description="how captured events leave")
    deletes: Literal["event", "tombstone", "event-and-tombstone"] = Field(
        "event", description="how the removal of an entity is published"
    )
    foreign_consumers: bool = Field(
        False, description="whether others than streambind listen; they do not check sequence numbers"
    )
    send_timeout_ms: Milliseconds = Field(
        10_000, alias="sendTimeout", description="how long a direct send waits for its confirmation"
    )
    partition_key_expression: Annotated[str | None, _BY_KEY] = None
    partition_key_extractor_name: Annotated[str | None, _BEANS] = None
    partition_selector_expression: Annotated[str | None, _BY_KEY] = None
    partition_selector_name: Annotated[str | None, _BEANS] = None
    required_groups: Annotated[
        list[str], NoEffect("a group begins at the earliest message, so none is lost before it exists")
    ] = Field(default_factory=list)
    header_mode: Annotated[Literal["headers", "none", "embeddedHeaders"], _HEADERS] = "headers"
    use_native_encoding: Annotated[bool, _PAYLOADS] = False
    error_channel_enabled: Annotated[
        bool, NoEffect("a failed send raises, or stays in the outbox and is tried again")
    ] = False
    poller: Annotated[PollerProperties, _FUNCTIONS] = Field(default_factory=PollerProperties)
    dynamic_partition_updates_enabled: Annotated[bool, NoEffect("the client sees new partitions")] = False


class BindingProperties(Properties):
    """`bindings.<name>.*`"""

    destination: str | None = Field(
        None, description="topic; several with commas for an input; unset: the binding's name"
    )
    group: str | None = Field(None, description="consumer group; unset: anonymous, new at each start")
    content_type: str = Field("application/json", description="of payloads without such a header")
    binder: str | None = Field(None, description="which binder, if there are several")
    consumer: ConsumerProperties = Field(default_factory=ConsumerProperties)
    producer: ProducerProperties = Field(default_factory=ProducerProperties)
    error_handler_definition: Annotated[
        str | None, NoEffect("`consumer.onError` says what becomes of a failed message")
    ] = None


class DatasourceProperties(Properties):
    """`streambind.datasource.*`: the database of a service that passes none in code."""

    url: SecretStr | None = Field(None, description="a SQLAlchemy URL")
    table_schema: str | None = Field(None, alias="schema", description="schema of streambind's tables")
    transaction_timeout_ms: Milliseconds = Field(
        300_000,
        alias="transactionTimeout",
        ge=1,
        description="PostgreSQL, MariaDB, MySQL: how long a delivery's transaction may be silent before it is "
        "ended and tried again; waits for a lock end after it too, at the latest after 30s",
    )


def _time_zone(name: str) -> str:
    if name != "UTC":
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("there is no such time zone; write one like Asia/Seoul") from None
    return name


class EventsProperties(Properties):
    """`streambind.events.*`"""

    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field("UTC", description="of `timestamp` in events")
    max_rounds: int = Field(
        10, ge=1, description="how often listeners that publish may lead back to a destination, by `sb-route`"
    )


class BinderConfigurationProperties(Properties):
    """`binders.<name>.*`: one of several clusters; its `environment` is laid over the binder's properties."""

    type: str | None = Field(None, description="the binder's type, such as `kafka`; unset: the name")
    inherit_environment: bool = Field(True, description="whether the type's own `binder.*` holds here too")
    default_candidate: bool = Field(True, description="whether bindings without a binder may go here")


class StreamProperties(Properties):
    """Everything under `spring.cloud.stream` and `streambind` that no binder owns."""

    bindings: dict[str, BindingProperties] = Field(default_factory=dict)
    default: BindingProperties = Field(default_factory=BindingProperties, description="of all bindings")
    binders: dict[str, BinderConfigurationProperties] = Field(default_factory=dict)
    default_binder: str | None = Field(None, description="of bindings that name none")
    binding_retry_interval_s: Seconds = Field(
        30,
        alias="bindingRetryInterval",
        description="until a failed binding is tried again; 0: fail at start",
    )
    instance_count: int = Field(
        1,
        ge=1,
        description="instances of the service: a topic that is made has a partition for each, times concurrency",
    )
    instance_index: Annotated[int, _PARTITIONS] = 0
    datasource: DatasourceProperties = Field(default_factory=DatasourceProperties)
    outbox: OutboxProperties = Field(default_factory=OutboxProperties)
    events: EventsProperties = Field(default_factory=EventsProperties)
    shutdown_timeout_ms: Milliseconds = Field(
        30_000, alias="shutdownTimeout", description="for what is under way when the application stops"
    )
    instance_index_list: Annotated[list[int], _PARTITIONS] = Field(default_factory=list)
    input_bindings: Annotated[str | None, _CHANNELS] = None
    output_bindings: Annotated[str | None, _CHANNELS] = None
    pollable_source: Annotated[str | None, _CHANNELS] = None
    source: Annotated[str | None, _CHANNELS] = None
    dynamic_destinations: Annotated[list[str], _CHANNELS] = Field(default_factory=list)
    dynamic_destination_cache_size: Annotated[int, _UNLIMITED] = 10
    function: Annotated[dict[str, Any], _FUNCTIONS] = Field(default_factory=dict)
    integration: Annotated[dict[str, Any], NoEffect("a sent message has the headers that it was given")] = Field(
        default_factory=dict
    )
    metrics: Annotated[dict[str, Any], NoEffect("metrics are read from the management endpoint")] = Field(
        default_factory=dict
    )
    schema_registry: Annotated[dict[str, Any], _REGISTRY] = Field(default_factory=dict, alias="schema")
    schema_registry_client: Annotated[dict[str, Any], _REGISTRY] = Field(default_factory=dict)
