"""From KafkaError to streambind's errors, at the edge (pure).

What is permanent is decided here alone: an answer that the same request would get again until a person changes
something. What may have reached the log is `Unknown`, never `Failed`.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from streambind.binding.outcome import Failed, Unknown
from streambind.errors import (
    BrokerError,
    BrokerUnavailableError,
    ConfigurationError,
    DestinationError,
    SendError,
    StreambindError,
)

_AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NETWORK_EXCEPTION,
    }
)
_REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
_DESTINATION = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
    }
)
_SEND_PERMANENT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._INVALID_ARG,
    }
)
_OF_A_BATCH = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
    }
)
_SEND_UNKNOWN = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._FATAL,
        KafkaError._INCONSISTENT,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._DESTROY,
        KafkaError._FENCED,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
    }
)
UNSUPPORTED = frozenset(
    {KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION, KafkaError._NOT_IMPLEMENTED}
)
"""What a broker says that does not have the request at all."""


def kafka_error(exc: BaseException) -> KafkaError | None:
    """The error inside a KafkaException."""
    if isinstance(exc, KafkaException) and exc.args and isinstance(exc.args[0], KafkaError):
        return exc.args[0]
    return None


def broker_error(exc: BaseException, doing: str) -> StreambindError:
    """What to raise for a failed request; `doing` says what was tried, and for which destination or group."""
    error = kafka_error(exc)
    if error is None:
        return BrokerError(f"{doing}: {exc}")
    code, text = error.code(), f"{doing}: {describe(error)}"
    if code in _DESTINATION:
        return DestinationError(text)
    if code in _REFUSED:
        return BrokerError(f"{text}; check the credentials and what they may do", permanent=True)
    if code in _AWAY or error.retriable():
        return BrokerUnavailableError(text)
    if code in (KafkaError._INVALID_ARG, KafkaError._CONFLICT, KafkaError.INVALID_CONFIG):
        return ConfigurationError(text)
    return BrokerError(text)


def is_outage(error: KafkaError) -> bool:
    """Whether a broker cannot be reached just now; the client goes on trying by itself."""
    return error.code() in _AWAY


def is_passing(exc: BaseException) -> bool:
    """Whether brokers answer like this while they still agree on a topic: ask again in a moment."""
    error = kafka_error(exc)
    return error is not None and error.code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
    )


def unsent(error: KafkaError, destination: str) -> Failed | Unknown:
    """The result of a message whose report, or whose refusal by the client, says `error`."""
    text = f"sending to {destination}: {describe(error)}"
    code = error.code()
    if code in _SEND_PERMANENT:
        return Failed(SendError(text + _remedy(code), permanent=True), permanent=True)
    if code in _SEND_UNKNOWN or error.fatal():
        return Unknown(text)
    return Failed(SendError(text + _remedy(code)), permanent=False)


def is_of_a_batch(error: KafkaError) -> bool:
    """Whether a whole batch is refused like this, of which one message may be the cause."""
    return error.code() in _OF_A_BATCH


def describe(error: KafkaError) -> str:
    """`NAME (text)`."""
    return f"{error.name()} ({error.str()})"


def _remedy(code: int) -> str:
    match code:
        case KafkaError.MSG_SIZE_TOO_LARGE | KafkaError.RECORD_LIST_TOO_LARGE:
            return "; make the message smaller, or raise the topic's max.message.bytes"
        case KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return "; this service's user needs the Write permission"
        case KafkaError.INVALID_TIMESTAMP:
            return "; set this host's clock: records carry its time, and it is not the broker's"
        case KafkaError._UNKNOWN_PARTITION:
            return "; the destination has fewer partitions"
        case _:
            return ""
