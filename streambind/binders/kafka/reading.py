"""Reading a topic without a group: for `tail` and for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambind.binders.kafka.batch import message_of
from streambind.binders.kafka.error_mapping import broker_error
from streambind.errors import BrokerUnavailableError, PositionLostError
from streambind.message import Message

LIMIT = 5000
_POLL_S = 0.1


def read_messages(
    settings: Mapping[str, str],
    destination: str,
    starts: Mapping[int, int],
    timeout_s: float,
    *,
    each: int | None = None,
) -> list[Message]:
    """Messages of each partition from its start to where it ends now, in order within a partition; at most
    `LIMIT` of them and `each` of a partition, and what came within the time. Those whose headers cannot be read
    come without headers.

    Raises:
        PositionLostError: a start is not in the log.
        BrokerUnavailableError: nothing came, and not because there is nothing.
    """
    deadline = time.monotonic() + timeout_s
    consumer = Consumer({**settings, "enable.partition.eof": "true", "fetch.wait.max.ms": "10", "log_level": "0"})
    open_partitions = set(starts)
    wanted = dict.fromkeys(starts, LIMIT if each is None else each)
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(destination, p, offset) for p, offset in starts.items()])
        while open_partitions and len(found) < LIMIT and time.monotonic() < deadline:
            first = consumer.poll(_POLL_S)
            rest = consumer.consume(max(1, LIMIT - len(found) - 1), 0)
            for message in rest if first is None else [first, *rest]:
                error = message.error()
                where = message.partition() or 0
                if error is None:
                    if where in open_partitions:
                        found.append(message_of(message, destination, strict=False))
                        wanted[where] -= 1
                    if wanted[where] == 0:
                        open_partitions.discard(where)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(where)
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise PositionLostError(f"{destination}[{where}] does not hold offset {starts[where]}")
                else:
                    raise broker_error(KafkaException(error), f"reading {destination}")
    finally:
        consumer.close()
    if open_partitions and not found:
        raise BrokerUnavailableError(f"reading {destination}: nothing came within {timeout_s:g} s")
    return found
