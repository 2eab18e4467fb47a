"""KafkaError at the edge: which of our errors, and what counts as unsent."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from streambind.binders.kafka.error_mapping import broker_error, is_of_a_batch, is_outage, is_passing, unsent
from streambind.binding.outcome import Failed, Unknown
from streambind.errors import (
    BrokerError,
    BrokerUnavailableError,
    ConfigurationError,
    DestinationError,
    SendError,
    StreambindError,
)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._TRANSPORT, BrokerUnavailableError),
        (KafkaError._TIMED_OUT, BrokerUnavailableError),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, BrokerUnavailableError),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, DestinationError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, DestinationError),
        (KafkaError.INVALID_REPLICATION_FACTOR, DestinationError),
        (KafkaError._INVALID_ARG, ConfigurationError),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, BrokerError),
        (KafkaError.UNKNOWN, BrokerError),
    ],
)
def test_a_failed_request(code: int, expected: type[StreambindError]) -> None:
    error = broker_error(KafkaException(KafkaError(code, "because")), "describing topic t")
    assert type(error) is expected
    assert str(error).startswith("describing topic t: ")
    assert "because" in str(error)


def test_a_refused_user_is_permanent_and_an_absent_broker_is_not() -> None:
    refused = broker_error(KafkaException(KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED)), "x")
    away = broker_error(KafkaException(KafkaError(KafkaError._TRANSPORT)), "x")
    assert isinstance(refused, BrokerError)
    assert refused.permanent
    assert isinstance(away, BrokerError)
    assert not away.permanent


def test_what_the_broker_calls_retriable_is_an_outage_of_the_request() -> None:
    error = KafkaError(KafkaError.UNKNOWN, "x", retriable=True)
    assert type(broker_error(KafkaException(error), "x")) is BrokerUnavailableError


def test_an_error_of_another_kind_keeps_its_text() -> None:
    assert str(broker_error(TimeoutError("too slow"), "asking")) == "asking: too slow"


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_PARTITION,
    ],
)
def test_a_message_that_can_never_be_sent(code: int) -> None:
    result = unsent(KafkaError(code), "t")
    assert isinstance(result, Failed)
    assert result.permanent
    assert isinstance(result.error, SendError)
    assert result.error.permanent
    assert "sending to t" in str(result.error)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.REQUEST_TIMED_OUT,
    ],
)
def test_a_message_that_may_be_in_the_log(code: int) -> None:
    assert isinstance(unsent(KafkaError(code), "t"), Unknown)


def test_a_fatal_error_leaves_nothing_known() -> None:
    assert isinstance(unsent(KafkaError(KafkaError.INVALID_PRODUCER_EPOCH, fatal=True), "t"), Unknown)


@pytest.mark.parametrize(
    "code", [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.INVALID_TIMESTAMP]
)
def test_a_message_that_may_be_sent_later(code: int) -> None:
    result = unsent(KafkaError(code), "t")
    assert isinstance(result, Failed)
    assert not result.permanent


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.LEADER_NOT_AVAILABLE, True),
        (KafkaError.UNKNOWN_LEADER_EPOCH, True),
        (KafkaError.FENCED_LEADER_EPOCH, True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
    ],
)
def test_what_brokers_say_before_they_agree_on_a_topic_passes(code: int, expected: bool) -> None:
    assert is_passing(KafkaException(KafkaError(code))) is expected


def test_small_questions() -> None:
    assert is_outage(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert not is_outage(KafkaError(KafkaError._AUTHENTICATION))
    assert is_of_a_batch(KafkaError(KafkaError.RECORD_LIST_TOO_LARGE))
