"""One call of send: results in order, none invented."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer

from streambind.binders.kafka.sending import Sending
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.message import Message
from tests.unit.binders.kafka.messages import message


def test_reports_may_come_in_any_order_and_before_all_is_accepted() -> None:
    sending = Sending("t", 3)
    callbacks = [sending.callback(i) for i in range(3)]
    callbacks[2](None, message(12, partition=1))
    callbacks[0](None, message(10, partition=1))
    assert not sending.done.is_set()
    sending.all_accepted(3)
    assert not sending.done.is_set()
    callbacks[1](None, message(11, partition=1))
    assert sending.done.is_set()
    assert sending.finished("never") == [Sent(1, 10), Sent(1, 11), Sent(1, 12)]


def test_nothing_to_wait_for_is_done() -> None:
    sending = Sending("t", 1)
    sending.refused(0, KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    sending.all_accepted(0)
    assert sending.done.is_set()
    (result,) = sending.finished("never")
    assert isinstance(result, Failed)


def test_what_was_not_reported_is_unknown() -> None:
    sending = Sending("t", 2)
    sending.callback(0)(None, message(1))
    sending.all_accepted(2)
    assert sending.finished("too late") == [Sent(0, 1), Unknown("too late")]


@pytest.mark.parametrize("code", [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE])
def test_messages_of_a_batch_that_was_too_large_are_noted(code: int) -> None:
    sending = Sending("t", 2)
    sending.callback(1)(KafkaError(code), message(0))
    assert sending.refused_in_batches == {1}


@pytest.mark.parametrize("name", ["\ud800", "a\0b", b"bytes", ["no hash"]], ids=repr)
def test_a_message_with_a_name_that_cannot_travel_is_not_given_to_the_client(name: Any) -> None:
    client = Producer({"bootstrap.servers": "localhost:1", "log_level": 0})
    sending = Sending("t", 3)
    headers: list[list[tuple[Any, bytes]]] = [
        [("sound", b"1")],
        [("sound", b"1"), (name, b"2")],
        [("sound", b"3")],
    ]

    taken = [
        sending.give(
            client, i, Message(b"x", raw_headers=raw), max_payload_bytes=None, wait_for_room=lambda: False
        )
        for i, raw in enumerate(headers)
    ]

    assert taken == [True, False, True]
    assert isinstance(sending.finished("never")[1], Failed)
    client.purge()
