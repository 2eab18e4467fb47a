"""What the Kafka binder warns of, and where `streambind check` shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambind.binders.kafka.properties import KafkaBinderProperties
from streambind.binding.factory import binder_types
from streambind.configuration import Severity, load

OFF = "ssl.endpoint.identification.algorithm"


def cautions(brokers: str, **settings: dict[str, str]) -> dict[str, str]:
    return dict(KafkaBinderProperties.model_validate({"brokers": brokers, **settings}).cautions())


@pytest.mark.parametrize(
    "brokers", ["localhost", "localhost:9092", "LOCALHOST:1", "127.0.0.1:9092", "127.1.2.3", "[::1]:9092"]
)
def test_what_stays_on_this_machine_needs_no_protection(brokers: str) -> None:
    assert cautions(brokers) == {}


@pytest.mark.parametrize("brokers", ["kafka:9092", "localhost:9092,b.example:9093", "10.0.0.1", "[::2]:9092"])
def test_plain_text_across_a_network_has_to_be_meant(brokers: str) -> None:
    [(key, text)] = cautions(brokers).items()
    assert key == "brokers"
    assert brokers.rpartition(",")[2] in text
    assert "'security.protocol'" in text


@pytest.mark.parametrize("where", ["configuration", "consumerProperties", "producerProperties"])
def test_a_protocol_that_is_written_down_is_meant(where: str) -> None:
    assert cautions("kafka:9092", **{where: {"security.protocol": "PLAINTEXT"}}) == {}


@pytest.mark.parametrize(
    ("setting", "value"), [(OFF, ""), (OFF, "none"), ("enable.ssl.certificate.verification", "False")]
)
def test_checks_of_certificates_that_are_off_are_named(setting: str, value: str) -> None:
    settings = {"security.protocol": "SSL", setting: value}
    [(key, text)] = cautions("kafka:9092", configuration=settings).items()
    assert key == "configuration"
    assert f"'{setting}' is off" in text


def test_checks_that_are_on_are_not() -> None:
    settings = {"security.protocol": "SSL", OFF: "https", "enable.ssl.certificate.verification": "true"}
    assert cautions("kafka:9092", configuration=settings) == {}


def test_a_caution_is_a_warning_at_its_place(tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(
        "spring.cloud.stream:\n  kafka.binder:\n    brokers: kafka:9092\n  bindings: {in-a: {group: g}}\n"
    )
    [finding] = load(tmp_path, binder_models=binder_types(), environ={}).findings
    assert finding.severity is Severity.WARNING
    assert str(finding.origin) == f"{file}:3:5"


def test_the_caution_of_one_cluster_of_several_stands_at_that_cluster(tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(
        "spring.cloud.stream:\n  bindings: {in-a: {group: g, binder: far}}\n  binders:\n"
        "    far:\n      type: kafka\n"
        "      environment.spring.cloud.stream.kafka.binder.brokers: kafka:9092\n"
    )
    [finding] = load(tmp_path, binder_models=binder_types(), environ={}).findings
    assert str(finding.origin) == f"{file}:4:5"
