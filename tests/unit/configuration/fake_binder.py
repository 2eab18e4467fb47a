"""A binder's models with a bit of everything, so that the configuration is tested without a broker's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from streambind.configuration import Milliseconds, NoEffect, Properties


class FakeBinderProperties(Properties):
    brokers: list[str] = Field(default_factory=lambda: ["localhost"])
    configuration: dict[str, str] = Field(default_factory=dict)
    required_acks: Literal["all", "1", "0"] = "all"
    jaas_password: SecretStr | None = None
    replicas: dict[int, list[int]] = Field(default_factory=dict)
    smallest: int = 0
    largest: int = 10

    @field_validator("configuration")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        if "forbidden" in value:
            raise ValueError(f"forbidden is {value['forbidden']}")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> FakeBinderProperties:
        if self.smallest > self.largest:
            raise ValueError("smallest is larger than largest")
        return self


class FakeConsumerProperties(Properties):
    enable_dlq: bool = False
    start_offset: Literal["earliest", "latest"] | None = None
    configuration: dict[str, str] = Field(default_factory=dict)
    poll_timeout_ms: Milliseconds = Field(5000, alias="pollTimeout")
    ack_mode: Annotated[str | None, NoEffect("a returned handler is done")] = None


class FakeProducerProperties(Properties):
    sync: Annotated[bool, NoEffect("every message is accounted for")] = False
    compression_type: Literal["none", "gzip"] = "none"


class StrictBinderProperties(Properties):
    address: str
    port: int = 1


@dataclass(frozen=True)
class FakeModels:
    name: str
    binder_properties: type[Properties] = FakeBinderProperties
    consumer_properties: type[Properties] = FakeConsumerProperties
    producer_properties: type[Properties] = FakeProducerProperties


MODELS = {"kafka": FakeModels("kafka"), "memory": FakeModels("memory")}
