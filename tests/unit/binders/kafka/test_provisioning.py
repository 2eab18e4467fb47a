"""Names of topics and of dead letters, and who answers where a broker should be."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from streambind.binders.kafka import KAFKA, KafkaBinder
from streambind.binders.kafka.properties import KafkaBinderProperties, KafkaConsumerProperties
from streambind.binders.kafka.provisioning import checked_topic_name
from streambind.binders.kafka.reachability import require_listener
from streambind.errors import BrokerUnavailableError, ConfigurationError


@pytest.mark.parametrize("name", ["a", "categoryChanged", "error.a.b", "x-1_y", "z" * 249])
def test_legal_names(name: str) -> None:
    assert checked_topic_name(name, "in-x") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "최종", "z" * 250, "a\n"])
def test_illegal_names_are_refused_by_the_binding(name: str) -> None:
    with pytest.raises(ConfigurationError, match="binding in-x: destination"):
        checked_topic_name(name, "in-x")


def dlq(**settings: object) -> KafkaConsumerProperties:
    return KafkaConsumerProperties.model_validate(settings)


def test_dead_letters_go_nowhere_unless_asked_for() -> None:
    assert KAFKA.dead_letter_destination("d", "g", dlq()) is None
    assert KAFKA.dead_letter_destination("d", None, dlq()) is None


def test_dead_letters_go_where_spring_sends_them() -> None:
    assert KAFKA.dead_letter_destination("d", "g", dlq(enableDlq=True)) == "error.d.g"
    assert KAFKA.dead_letter_destination("d", "g", dlq(enableDlq=True, dlqName="dead")) == "dead"


def test_dead_letters_need_a_group() -> None:
    with pytest.raises(ConfigurationError, match="set `group`"):
        KAFKA.dead_letter_destination("d", None, dlq(enableDlq=True))


@pytest.mark.parametrize(
    ("settings", "partition"), [({}, 3), ({"dlqPartitions": 1}, 0), ({"dlqPartitions": 2}, None)]
)
def test_the_partition_of_a_dead_letter(settings: dict[str, int], partition: int | None) -> None:
    assert KAFKA.dead_letter_partition(3, dlq(**settings)) == partition


def test_one_listener_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        require_listener(f"127.0.0.1:{nobody.getsockname()[1]},127.0.0.1:{server.getsockname()[1]}", 5)


def test_every_address_is_named_when_nobody_listens() -> None:
    with socket.socket() as one, socket.socket() as two:
        ports = []
        for nobody in (one, two):
            nobody.bind(("127.0.0.1", 0))
            ports.append(nobody.getsockname()[1])
        with pytest.raises(BrokerUnavailableError) as raised:
            require_listener(",".join(f"127.0.0.1:{port}" for port in ports), 5)
    for port in ports:
        assert f"127.0.0.1:{port} (" in str(raised.value)
    assert "kafka.binder.brokers" in str(raised.value)


def test_every_question_to_nobody_is_answered_at_once_and_in_words() -> None:
    binder = KafkaBinder(KafkaBinderProperties.model_validate({"brokers": "127.0.0.1:1"}))
    questions: list[Callable[[], object]] = [
        lambda: binder.describe("t", 60_000),
        lambda: binder.committed("g", "t", 60_000),
        lambda: binder.offsets_at("t", 0, 60_000),
    ]
    for ask in [*questions, *questions]:
        with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1 \(Conn"):
            ask()
    binder.close(1000)
