"""From properties to the settings of librdkafka's clients (pure: opens nothing, reads no file).

Lowest first: streambind's defaults, the binder's `configuration`, its `consumerProperties` or
`producerProperties`, the binding's `configuration`, the binding's own properties. Values never appear in
messages: they may be secrets.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from streambind.binders.kafka.properties import (
    KafkaBinderProperties,
    KafkaConsumerProperties,
    KafkaProducerProperties,
)
from streambind.binders.kafka.security_settings import jaas_settings, parse_jaas, tls_settings
from streambind.binders.kafka.setting_names import (
    OURS,
    RENAMED,
    TRANSLATED,
    known_to,
    reason_without_effect,
    worth_a_notice,
)
from streambind.errors import ConfigurationError

StartPolicy = Literal["earliest", "latest", "none"]

SIZE_MARGIN_BYTES = 512
"""How far below a topic's `max.message.bytes` the client must refuse, so that a broker never refuses a batch."""

WARM_UP_MS = 2000
"""A new producer first asks for its id, which takes half a second and more; its first messages have longer."""

LINGER_MS = 5
"""How long the client may collect messages while it is given more of them; where nobody asks for a wait, the end
of each call of `send` ends it. Without it the client sends the first messages of a call one by one."""

# Without a bound the client waits up to ten seconds before it tries a broker again that was away.
_COMMON_DEFAULTS = {"reconnect.backoff.max.ms": "1000"}
# After a re-bootstrap, requests to a group's coordinator hang for ever (seen with librdkafka 2.16).
_ADMIN_DEFAULTS = {"client.id": "streambind", **_COMMON_DEFAULTS, "metadata.recovery.strategy": "none"}
_CONSUMER_DEFAULTS = {
    **_COMMON_DEFAULTS,
    "topic.metadata.refresh.interval.ms": "10000",
    # The client stops for fetch.queue.backoff.ms whenever it holds queued.min.messages; with its own defaults
    # (100000 and one second) a fast listener waits most of the time.
    "queued.min.messages": "20000",
    # The end of a partition is told, once: offsets alone do not say whether a message is left. Clients before
    # 2.13.2 went on one message too late then, after a pause (github.com/confluentinc/librdkafka/pull/5213).
    "enable.partition.eof": "true",
    "fetch.queue.backoff.ms": "20",
}
_PRODUCER_DEFAULTS = {
    **_COMMON_DEFAULTS,
    "enable.idempotence": "true",
    "partitioner": "murmur2_random",
    "topic.metadata.refresh.interval.ms": "10000",
}
_BATCH = 500
_CLASSIC_ONLY = (
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.protocol.type",
)
_START_POLICIES: Mapping[str, StartPolicy] = {
    "earliest": "earliest",
    "beginning": "earliest",
    "smallest": "earliest",
    "latest": "latest",
    "end": "latest",
    "largest": "latest",
    "none": "none",
    "error": "none",
}


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What a consumer needs: the client's settings, and what the binder carries out itself."""

    client: dict[str, str] = field(repr=False)
    group: str
    start: StartPolicy
    max_poll_records: int
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What a producer needs. `lingers`: whether batches are to wait for more messages, `max_message_bytes`: as
    configured, None if nobody said anything."""

    client: dict[str, str] = field(repr=False)
    lingers: bool
    max_message_bytes: int | None
    notices: tuple[str, ...]


def admin_settings(binder: KafkaBinderProperties) -> dict[str, str]:
    """Settings of a client that only asks and administers."""
    settings, _ = _translated({**_jaas(binder), **binder.configuration}, "P", f"kafka.{_BINDER}")
    for name in ("acks", "message.max.bytes", "linger.ms", "compression.type", "enable.idempotence"):
        settings.pop(name, None)
    common = {name: value for name, value in settings.items() if name in known_to("C") or not known_to("C")}
    return {**_ADMIN_DEFAULTS, **common, "bootstrap.servers": bootstrap_servers(binder)}


def consumer_settings(
    binder: KafkaBinderProperties,
    properties: KafkaConsumerProperties,
    *,
    binding: str,
    group: str | None,
    batch: int | None = None,
) -> ConsumerSettings:
    """`batch`: what `max.poll.records` is where nobody has configured it; None: what it is in Java.

    Raises:
    ConfigurationError: a setting that cannot be carried over; names its key and the remedy.
    """
    own = f"kafka.bindings.{binding}.consumer.configuration"
    _refuse_bootstrap(properties.configuration, own)
    merged = {**_jaas(binder), **binder.configuration, **binder.consumer_properties, **properties.configuration}
    settings, notices = _translated(merged, "C", own)
    protocol = properties.group_protocol
    if "group_protocol" not in properties.model_fields_set:
        protocol = "consumer" if settings.get("group.protocol", "").lower() == "consumer" else "classic"
    if protocol == "classic":
        protocol_settings = {
            "group.protocol": "classic",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": settings.pop("session.timeout.ms", "10000"),
        }
    else:
        protocol_settings = {"group.protocol": "consumer"}
        for name in _CLASSIC_ONLY:
            if settings.pop(name, None) is not None and name != "partition.assignment.strategy":
                notices.append(f"{own}: '{name}' has no effect with groupProtocol=consumer; the broker decides")
    client = {
        "client.id": f"streambind-{binding}",
        **_CONSUMER_DEFAULTS,
        **settings,
        **protocol_settings,
        "bootstrap.servers": bootstrap_servers(binder),
        "group.id": group or f"anonymous.{uuid.uuid4()}",
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "auto.offset.reset": "error",
    }
    if properties.group_instance_id is not None:
        client["group.instance.id"] = properties.group_instance_id
    return ConsumerSettings(
        client=client,
        group=client["group.id"],
        start=_start(merged.get("auto.offset.reset"), properties.start_offset, group, own),
        max_poll_records=_positive(merged.get("max.poll.records", str(batch or _BATCH)), "max.poll.records", own),
        notices=tuple(notices),
    )


def producer_settings(
    binder: KafkaBinderProperties,
    properties: KafkaProducerProperties,
    *,
    binding: str,
    timeout_ms: int | None,
) -> ProducerSettings:
    """
    Raises:
        ConfigurationError: a setting that cannot be carried over; names its key and the remedy.
    """
    own = f"kafka.bindings.{binding}.producer.configuration"
    _refuse_bootstrap(properties.configuration, own)
    merged = {**_jaas(binder), **binder.configuration, **binder.producer_properties, **properties.configuration}
    settings, notices = _translated(merged, "P", own)
    limit = settings.pop("message.max.bytes", None)
    client = {
        "client.id": f"streambind-{binding}",
        **_PRODUCER_DEFAULTS,
        "acks": binder.required_acks,
        "linger.ms": str(properties.batch_timeout_ms or LINGER_MS),
        "compression.type": properties.compression_type,
        **({} if properties.buffer_size is None else {"batch.size": str(properties.buffer_size)}),
        **settings,
        "message.timeout.ms": "0" if timeout_ms is None else str(timeout_ms + WARM_UP_MS),
        "bootstrap.servers": bootstrap_servers(binder),
    }
    client.pop("delivery.timeout.ms", None)
    if client["acks"] not in ("all", "-1") and settings.get("enable.idempotence", "").lower() != "true":
        client["enable.idempotence"] = "false"
        notices.append(f"binding {binding}: requiredAcks={client['acks']} can lose and repeat what was sent")
    return ProducerSettings(
        client=client,
        lingers=properties.batch_timeout_ms > 0 or "linger.ms" in settings,
        max_message_bytes=None if limit is None else _positive(limit, "max.request.size", own),
        notices=tuple(notices),
    )


def bootstrap_servers(binder: KafkaBinderProperties) -> str:
    """`brokers`, with the default port where one is missing."""
    return ",".join(_with_port(broker, binder.default_broker_port) for broker in binder.brokers)


_BINDER = "binder.configuration"


def _with_port(broker: str, port: int) -> str:
    address = broker.rpartition("//")[2]
    has_port = address.rpartition("]")[2].startswith(":") if "[" in address else ":" in address
    return broker if has_port else f"{broker}:{port}"


def _jaas(binder: KafkaBinderProperties) -> dict[str, str]:
    if binder.jaas is None:
        return {}
    return jaas_settings(binder.jaas.login_module, binder.jaas.options, "kafka.binder.jaas")


def _translated(merged: Mapping[str, str], role: str, where: str) -> tuple[dict[str, str], list[str]]:
    """librdkafka's names for what this kind of client knows, and notices about the rest."""
    known = known_to(role)
    result: dict[str, str] = {}
    notices: list[str] = []
    for name, value in merged.items():
        reason = reason_without_effect(name)
        if reason is not None:
            if worth_a_notice(name, value):
                notices.append(f"{where}: '{name}' has no effect here: {reason}")
            continue
        if name in TRANSLATED or name in OURS:
            continue
        name = RENAMED.get(name, name)
        if not known or name in known or name.startswith("test.mock."):
            result[name] = value
    result.update(_translated_values(merged, role, where))
    result.update(tls_settings(merged, where))
    if merged.get("ssl.endpoint.identification.algorithm") == "":
        result["ssl.endpoint.identification.algorithm"] = "none"
    if merged.get("acks") == "-1":
        result["acks"] = "all"
    return result, notices


def _translated_values(merged: Mapping[str, str], role: str, where: str) -> dict[str, str]:
    result: dict[str, str] = {}
    if login := merged.get("sasl.jaas.config"):
        module, options = parse_jaas(login)
        result.update(jaas_settings(module, options, f"{where}: sasl.jaas.config"))
    if role == "P" and (memory := merged.get("buffer.memory")):
        kilobytes = max(1, _positive(memory, "buffer.memory", where) // 1024)
        result["queue.buffering.max.kbytes"] = str(kilobytes)
    if role == "P" and (partitioner := merged.get("partitioner.class")):
        if not partitioner.endswith("DefaultPartitioner"):
            raise ConfigurationError(
                f"{where}: 'partitioner.class' names a Java class that cannot run here; remove it (keys are "
                f"hashed like the Java client's default does) or set 'partitioner' to one of librdkafka's"
            )
        result["partitioner"] = "murmur2_random"
    if role == "C" and (strategies := merged.get("partition.assignment.strategy")):
        names = {name.strip().rpartition(".")[2] for name in strategies.split(",")}
        if not names & {"CooperativeStickyAssignor", "cooperative-sticky"}:
            raise ConfigurationError(
                f"{where}: 'partition.assignment.strategy' must hold CooperativeStickyAssignor: streambind takes "
                f"and gives back partitions one by one; remove the setting"
            )
    return result


def _refuse_bootstrap(configuration: Mapping[str, str], where: str) -> None:
    if "bootstrap.servers" in configuration or "metadata.broker.list" in configuration:
        raise ConfigurationError(
            f"{where}: 'bootstrap.servers' cannot differ per binding; set kafka.binder.brokers, or give the "
            f"binding another binder"
        )


def _start(
    setting: str | None, start_offset: Literal["earliest", "latest"] | None, group: str | None, where: str
) -> StartPolicy:
    if start_offset is not None:
        return start_offset
    if setting is None:
        return "latest" if group is None else "earliest"
    policy = _START_POLICIES.get(setting.lower())
    if policy is None:
        raise ConfigurationError(f"{where}: 'auto.offset.reset' is earliest, latest or none")
    return policy


def _positive(value: str, name: str, where: str) -> int:
    if not value.strip().isdigit() or int(value) == 0:
        raise ConfigurationError(f"{where}: '{name}' must be a positive number")
    return int(value)
