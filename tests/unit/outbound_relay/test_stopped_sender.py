"""A queue of direct sends that is stopped."""

from __future__ import annotations

import threading
import time

import pytest

from streambind.errors import LifecycleError, SendError, SendUnconfirmed
from tests.unit.outbound_relay.conftest import Start, full_sender, message_of
from tests.unit.outbound_relay.producer import ScriptedProducer


def test_stop_sends_what_is_queued(start: Start) -> None:
    producer = ScriptedProducer()
    producer.hold()
    sender = start(producer, capacity=1200)
    receipts = [sender.submit(message_of(n)) for n in range(1200)]

    producer.release()
    sender.stop(10_000)

    assert all(receipt.done() for receipt in receipts)
    assert len(producer.sent) == 1200
    assert not producer.purged
    with pytest.raises(LifecycleError, match="binding out-x to destination x has been stopped"):
        sender.submit(message_of())


def test_stop_returns_in_time_with_the_broker_away(start: Start) -> None:
    producer = ScriptedProducer()
    producer.hold()
    sender = start(producer)
    first = sender.submit(message_of(0))
    assert producer.sending.wait(10)
    second = sender.submit(message_of(1))

    began = time.monotonic()
    sender.stop(200)

    assert time.monotonic() - began < 5
    assert producer.purged
    with pytest.raises(SendUnconfirmed):
        first.result(10)
    with pytest.raises(SendError, match="was not sent"):
        second.result(10)


def test_stop_frees_callers_that_wait_for_room(start: Start) -> None:
    _, sender = full_sender(start)
    raised: list[Exception] = []

    def submit() -> None:
        try:
            sender.submit(message_of(2))
        except LifecycleError as error:
            raised.append(error)

    blocked = threading.Thread(target=submit)
    blocked.start()
    sender.stop(100)
    blocked.join(10)

    assert len(raised) == 1
