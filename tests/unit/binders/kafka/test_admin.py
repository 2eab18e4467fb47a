"""What an administrative request makes of a broker's refusals."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from streambind.binders.kafka import admin_client
from streambind.binders.kafka.admin import KafkaAdmin
from streambind.binders.kafka.admin_client import SharedAdminClient
from streambind.binders.kafka.error_mapping import UNSUPPORTED
from streambind.binders.kafka.offsets import KafkaOffsets
from streambind.binding.binder import Lane
from streambind.errors import BrokerError, BrokerUnavailableError, LifecycleError

Ask = Callable[[KafkaAdmin], Any]


class Refusing:
    """Confluent's client, at a broker that answers every request with the same error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise KafkaException(KafkaError(self._code))

        return refuse


def refused(monkeypatch: pytest.MonkeyPatch, code: int) -> tuple[KafkaAdmin, list[Refusing]]:
    """An admin, and the clients that it has made."""
    made: list[Refusing] = []

    def make(_: object) -> Refusing:
        made.append(Refusing(code))
        return made[-1]

    monkeypatch.setattr(admin_client, "AdminClient", make)
    return KafkaAdmin({}), made


@pytest.mark.parametrize(
    ("ask", "instead"),
    [
        (lambda admin: admin.create_topic(NewTopic("t", 1), 1), False),
        (lambda admin: admin.add_partitions("t", 2, 1), False),
        (lambda admin: admin.max_message_bytes("t", 1), None),
        (lambda admin: admin.is_compacted("t", 1), None),
        (lambda admin: admin.offsets.owners("g", 1), None),
    ],
)
@pytest.mark.parametrize("code", sorted(UNSUPPORTED))
def test_a_broker_without_the_request(
    monkeypatch: pytest.MonkeyPatch, code: int, ask: Ask, instead: object
) -> None:
    admin, _ = refused(monkeypatch, code)
    assert ask(admin) is instead


@pytest.mark.parametrize(
    ("code", "ask", "instead"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, lambda admin: admin.topic("t", 1), None),
        (KafkaError.TOPIC_ALREADY_EXISTS, lambda admin: admin.create_topic(NewTopic("t", 1), 1), True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, lambda admin: admin.max_message_bytes("t", 1), None),
        (KafkaError.GROUP_ID_NOT_FOUND, lambda admin: admin.offsets.owners("g", 1), {}),
    ],
)
def test_a_refusal_that_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, code: int, ask: Ask, instead: object
) -> None:
    admin, _ = refused(monkeypatch, code)
    assert ask(admin) == instead


def test_a_group_at_work_keeps_its_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    admin, _ = refused(monkeypatch, KafkaError.NON_EMPTY_GROUP)
    with pytest.raises(LifecycleError, match="group g has members at work"):
        admin.offsets.commit("g", {Lane("t", 0): 1}, 1)


def test_any_other_refusal_is_an_error_that_says_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    admin, made = refused(monkeypatch, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    for ask in (admin.topic, admin.max_message_bytes, admin.touch_topic):
        with pytest.raises(BrokerError, match="topic t: CLUSTER_AUTHORIZATION_FAILED"):
            ask("t", 1)
    assert len(made) == 2  # To touch a topic may make it, which takes a client of its own.


def test_after_a_time_out_another_client_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    admin, made = refused(monkeypatch, KafkaError._TIMED_OUT)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            admin.cluster_id(1)
    assert len(made) == 2


def test_a_time_before_all_others_is_no_word_for_the_end() -> None:
    """A time of -1 is Kafka's word for the end: all messages would be left out."""
    asked: list[int] = []

    class Asked:
        def list_offsets(self, wanted: dict[TopicPartition, OffsetSpec], **_: Any) -> dict[TopicPartition, Any]:
            asked.extend(spec._value for spec in wanted.values())
            return {
                partition: SimpleNamespace(result=lambda timeout: SimpleNamespace(offset=0))
                for partition in wanted
            }

    class Client(SharedAdminClient):
        def _made(self, *, makes_topics: bool) -> Any:
            return Asked()

    lane = Lane("t", 0)
    for moment_ms in (-1, -2, -62_135_596_800_000, 0, 7):
        assert KafkaOffsets(Client({})).offsets_at([lane], moment_ms, 1) == {lane: 0}
    assert asked == [0, 0, 0, 0, 7]
