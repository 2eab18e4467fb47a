"""Names of client settings: what a Spring file writes, and what librdkafka calls it (pure)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from streambind.binders.kafka.librdkafka import setting_names

RENAMED: Mapping[str, str] = {
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "max.request.size": "message.max.bytes",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "send.buffer.bytes": "socket.send.buffer.bytes",
    "socket.connection.setup.timeout.max.ms": "socket.connection.setup.timeout.ms",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}
"""Java's name -> librdkafka's, where only the name differs."""

TRANSLATED = frozenset(
    {
        "buffer.memory",
        "partition.assignment.strategy",
        "partitioner.class",
        "sasl.jaas.config",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
    }
)
"""Java's names whose values are translated as well, or several into one."""

OURS = frozenset({"auto.offset.reset", "max.poll.records"})
"""Carried out by the binder itself, not by the client."""

_CONVERSION = "payloads and keys travel as bytes; the binding's contentType decides"
_OPENSSL = "the client's own OpenSSL decides"
_OUTBOX = "the outbox and the positions in the database give exactly-once effects without it"
_WAITS = "the binder bounds its own waits"
WITHOUT_EFFECT: Mapping[str, str] = {
    "auto.commit.interval.ms": "offsets are reported by streambind once messages are done",
    "auto.include.jmx.reporter": "there is no JMX here",
    "default.api.timeout.ms": _WAITS,
    "enable.auto.commit": "offsets are reported by streambind once messages are done",
    "exclude.internal.topics": "internal topics are never subscribed",
    "group.id": "the group comes from the binding (`group`)",
    "interceptor.classes": "Java classes cannot run here",
    "key.deserializer": _CONVERSION,
    "key.serializer": _CONVERSION,
    "max.block.ms": _WAITS,
    "metric.reporters": "Java classes cannot run here",
    "metrics.num.samples": "there is no JMX here",
    "metrics.recording.level": "there is no JMX here",
    "metrics.sample.window.ms": "there is no JMX here",
    "schema.registry.url": _CONVERSION,
    "security.providers": _OPENSSL,
    "specific.avro.reader": _CONVERSION,
    "ssl.enabled.protocols": _OPENSSL,
    "ssl.keymanager.algorithm": _OPENSSL,
    "ssl.protocol": _OPENSSL,
    "ssl.provider": _OPENSSL,
    "ssl.secure.random.implementation": _OPENSSL,
    "ssl.trustmanager.algorithm": _OPENSSL,
    "transaction.timeout.ms": _OUTBOX,
    "transactional.id": _OUTBOX,
    "value.deserializer": _CONVERSION,
    "value.serializer": _CONVERSION,
}
"""Settings of the Java client that a Spring file holds and that mean nothing here, with the reason."""

_PREFIXES_WITHOUT_EFFECT: Mapping[str, str] = {
    "spring.json.": _CONVERSION,
    "spring.deserializer.": _CONVERSION,
}
_SILENT_CLASSES = ("StringSerializer", "StringDeserializer", "JsonSerializer", "JsonDeserializer")
_NOT_FROM_TEXT = frozenset({"default_topic_conf", "interceptors", "opaque"})


def reason_without_effect(name: str) -> str | None:
    """Why a setting has no effect; None if it has one."""
    for prefix, reason in _PREFIXES_WITHOUT_EFFECT.items():
        if name.startswith(prefix):
            return reason
    return WITHOUT_EFFECT.get(name)


def worth_a_notice(name: str, value: str) -> bool:
    """Whether dropping the setting may surprise somebody: usual serializers and defaults do not."""
    if name.endswith(("serializer",)):
        return not value.endswith((*_SILENT_CLASSES, "ByteArraySerializer", "ByteArrayDeserializer"))
    if name == "enable.auto.commit":
        return value.lower() != "false"
    return not name.startswith(("spring.json.", "auto.commit.interval"))


def known_to(role: str) -> frozenset[str]:
    """librdkafka's names for consumers (`C`) or producers (`P`)."""
    return frozenset(name for name, kind in setting_names().items() if kind in ("*", role))


def checked_setting(name: str) -> str:
    """The name itself, if something is done with it, or known why not.

    Raises:
        ValueError: nobody knows it; the message has the nearest right name.
    """
    known = {n for n in setting_names() if not n.endswith("_cb")} - _NOT_FROM_TEXT
    if not known or name.startswith("test.mock."):
        return name
    accepted = known | RENAMED.keys() | TRANSLATED | OURS
    if name in accepted or reason_without_effect(name) is not None:
        return name
    near = difflib.get_close_matches(name, sorted(accepted | WITHOUT_EFFECT.keys()), n=1, cutoff=0.6)
    remedy = f"did you mean '{near[0]}'?" if near else "see the list of librdkafka's configuration properties"
    raise ValueError(f"the Kafka client has no setting '{name}'; {remedy}")
