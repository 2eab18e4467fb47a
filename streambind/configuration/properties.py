"""The schema of `spring.cloud.stream` and `streambind`: names, types and defaults as Spring has them.

A field's Spring name is its alias, or its own name in camelCase; the loader compares names relaxed
(`enableDlq` = `enable-dlq` = `ENABLE_DLQ`). `NoEffect` marks what Spring knows and streambind does not need:
setting it is a warning with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Field metadata: accepted because Spring files hold it, without effect here."""

    reason: str


class Properties(BaseModel):
    """Base of every property model, of the core and of binders."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", validate_default=False
    )


_UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIMPLE = re.compile(r"^([+-]?\d+)\s*([a-zA-Z]{0,2})$")
_ISO = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$", re.IGNORECASE)


def parse_duration(value: Any, unit: str) -> Any:
    """A duration as Spring writes it (`500`, `10s`, `PT10S`) in `unit`, the unit of a bare number."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if match := _SIMPLE.match(text):
        number, suffix = match.groups()
        factor = _UNITS.get(suffix.lower() or unit)
        if factor is None:
            raise ValueError(f"{value!r} has no known unit; write ns, us, ms, s, m, h or d")
        return round(int(number) * factor / _UNITS[unit])
    if (match := _ISO.match(text)) and any(match.groups()):
        days, hours, minutes, seconds = (float(g or 0) for g in match.groups())
        return round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 / _UNITS[unit])
    raise ValueError(f"{value!r} is not a duration; write 500 or 10s or PT10S")


Milliseconds = Annotated[int, BeforeValidator(lambda v: parse_duration(v, "ms")), Field(ge=0)]
Seconds = Annotated[int, BeforeValidator(lambda v: parse_duration(v, "s")), Field(ge=0)]


class OnError(StrEnum):
    """What becomes of a message whose tries are used up."""

    DLQ = "dlq"
    STOP = "stop"
    SKIP = "skip"


class Publish(StrEnum):
    """How captured events leave: with the outbox (nothing lost), or after the commit (can be lost)."""

    OUTBOX = "outbox"
    AFTER_COMMIT = "after-commit"
    DIRECT = "direct"


class ConsumerProperties(Properties):
    """`bindings.<name>.consumer.*`"""

    auto_startup: bool = True
    concurrency: int = Field(1, ge=1)
    max_attempts: int = Field(3, ge=1)
    back_off_initial_interval_ms: Milliseconds = Field(1000, alias="backOffInitialInterval")
    back_off_max_interval_ms: Milliseconds = Field(10_000, alias="backOffMaxInterval")
    back_off_multiplier: float = Field(2.0, ge=1.0)
    default_retryable: bool = True
    retryable_exceptions: dict[str, bool] = Field(default_factory=dict)
    batch_mode: bool = False
    instance_count: int = -1
    on_error: OnError | None = None
    sequence: Literal["trust", "ignore"] = "trust"


class ProducerProperties(Properties):
    """`bindings.<name>.producer.*`"""

    auto_startup: bool = True
    partition_count: int = Field(1, ge=1)
    publish: Publish = Publish.OUTBOX
    deletes: Literal["event", "tombstone", "event-and-tombstone"] = "event"
    send_timeout_ms: Milliseconds = Field(10_000, alias="sendTimeout")


class BindingProperties(Properties):
    """`bindings.<name>.*`"""

    destination: str | None = None
    group: str | None = None
    content_type: str = "application/json"
    binder: str | None = None
    consumer: ConsumerProperties = Field(default_factory=ConsumerProperties)
    producer: ProducerProperties = Field(default_factory=ProducerProperties)


class DatasourceProperties(Properties):
    """`streambind.datasource.*`: the database of a service that passes none in code."""

    url: SecretStr | None = None
    table_schema: str | None = Field(None, alias="schema")


class OutboxProperties(Properties):
    """`streambind.outbox.*`"""

    batch_size: int = Field(500, ge=1)
    poll_interval_ms: Milliseconds = Field(1000, alias="pollInterval")
    lease_ms: Milliseconds = Field(10_000, alias="lease", ge=1000)
    relay: bool = True


class EventsProperties(Properties):
    """`streambind.events.*`"""

    time_zone: str = "UTC"


class BinderConfigurationProperties(Properties):
    """`binders.<name>.*`: one of several clusters; its `environment` is laid over the binder's properties."""

    type: str | None = None
    inherit_environment: bool = True
    default_candidate: bool = True


class StreamProperties(Properties):
    """Everything under `spring.cloud.stream` and `streambind` that no binder owns."""

    bindings: dict[str, BindingProperties] = Field(default_factory=dict)
    default: BindingProperties = Field(default_factory=BindingProperties)
    binders: dict[str, BinderConfigurationProperties] = Field(default_factory=dict)
    default_binder: str | None = None
    binding_retry_interval_s: Seconds = Field(30, alias="bindingRetryInterval")
    instance_count: int = Field(1, ge=1)
    instance_index: int = Field(0, ge=0)
    datasource: DatasourceProperties = Field(default_factory=DatasourceProperties)
    outbox: OutboxProperties = Field(default_factory=OutboxProperties)
    events: EventsProperties = Field(default_factory=EventsProperties)
    shutdown_timeout_ms: Milliseconds = Field(30_000, alias="shutdownTimeout")
