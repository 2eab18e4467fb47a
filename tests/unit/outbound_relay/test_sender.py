"""The queue of direct sends: order, bounds, deadlines, stop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence

import pytest

from streambind.binding.key_order import HELD_BACK
from streambind.binding.outcome import Failed, Unknown
from streambind.errors import BrokerUnavailableError, SendError, SendUnconfirmed
from streambind.message import Message
from tests.unit.outbound_relay.conftest import Start, full_sender, message_of
from tests.unit.outbound_relay.producer import Result, ScriptedProducer


def test_messages_leave_in_the_order_of_the_calls(start: Start) -> None:
    producer = ScriptedProducer()
    sender = start(producer, capacity=10_000)

    receipts = [sender.submit(message_of(n)) for n in range(2000)]

    assert [r.result(10).offset for r in receipts] == list(range(2000))
    assert [m.payload for m in producer.sent] == [b"%d" % n for n in range(2000)]
    assert max(producer.batches) <= 500


def test_no_thread_before_the_first_message_and_none_after_stop(start: Start) -> None:
    def names() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    sender = start(ScriptedProducer())
    assert "streambind-sender out-x" not in names()

    sender.submit(message_of()).result(10)
    assert "streambind-sender out-x" in names()

    sender.stop(5000)
    assert "streambind-sender out-x" not in names()


@pytest.mark.parametrize(
    ("answer", "error", "text", "permanent"),
    [
        (Failed(SendError("too big"), permanent=True), SendError, "was refused: too big", True),
        (Failed(SendError("not now"), permanent=False), SendError, "was refused: not now", False),
        (Unknown("no report in 10 s"), SendUnconfirmed, "may still arrive: no report in 10 s", False),
    ],
)
def test_each_message_gets_its_own_outcome(
    start: Start, answer: Result, error: type[SendError], text: str, permanent: bool
) -> None:
    sender = start(ScriptedProducer(lambda m: answer if m.payload == b"1" else None))
    receipts = [sender.submit(message_of(n)) for n in range(3)]

    with pytest.raises(error, match=text) as raised:
        receipts[1].result(10)

    assert type(raised.value) is error
    assert raised.value.permanent is permanent
    assert "binding out-x" in str(raised.value)
    assert "destination x" in str(raised.value)
    assert receipts[2].result(10).offset == 1


def test_what_is_held_back_behind_a_refused_message_is_sent_after_it(start: Start) -> None:
    class Ordered(ScriptedProducer):
        def send(self, messages: Sequence[Message]) -> list[Result]:
            if [m.payload for m in messages] == [b"1", b"2"]:
                return [Failed(SendError("too big"), permanent=True), HELD_BACK]
            return super().send(messages)

    producer = Ordered()
    producer.hold()
    sender = start(producer)
    sender.submit(message_of(0))
    assert producer.sending.wait(10)
    refused, later = sender.submit(message_of(1)), sender.submit(message_of(2))
    producer.release()

    with pytest.raises(SendError, match="too big"):
        refused.result(10)
    assert later.result(10).offset == 1
    assert [m.payload for m in producer.sent] == [b"0", b"2"]


def test_a_binder_that_holds_everything_back_is_not_asked_for_ever(start: Start) -> None:
    with pytest.raises(SendUnconfirmed, match="a defect of the binder"):
        start(ScriptedProducer(lambda m: HELD_BACK)).submit(message_of()).result(10)


def test_a_producer_that_raises_fails_the_batch(start: Start) -> None:
    class Away(ScriptedProducer):
        def send(self, messages: object) -> list[Result]:
            raise BrokerUnavailableError("broker away")

    class Broken(ScriptedProducer):
        def send(self, messages: object) -> list[Result]:
            raise ZeroDivisionError

    with pytest.raises(SendError, match="was not sent: broker away") as known:
        start(Away()).submit(message_of()).result(10)
    assert not isinstance(known.value, SendUnconfirmed)
    with pytest.raises(SendUnconfirmed):
        start(Broken()).submit(message_of()).result(10)


def test_a_full_queue_makes_the_caller_wait_and_then_raises(start: Start) -> None:
    producer = ScriptedProducer()
    producer.hold()
    sender = start(producer, capacity=2, timeout_ms=50)
    sender.submit(message_of(0))
    assert producer.sending.wait(10)
    for n in (1, 2):
        sender.submit(message_of(n))

    began = time.monotonic()
    with pytest.raises(SendError, match=r"binding out-x: 2 messages wait for destination x"):
        sender.submit(message_of(3))

    assert time.monotonic() - began >= 0.04


def test_who_posts_never_waits_for_room(start: Start) -> None:
    producer = ScriptedProducer()
    producer.hold()
    unsent: list[bytes | None] = []
    sender = start(producer, capacity=1, timeout_ms=3_600_000, on_error=lambda m, error: unsent.append(m.payload))
    sender.post(message_of(0))
    assert producer.sending.wait(10)
    sender.post(message_of(1))

    posting = threading.Thread(target=sender.post, args=(message_of(2),), daemon=True)
    posting.start()
    posting.join(10)

    assert not posting.is_alive()
    assert unsent == [b"2"]
    producer.release()


def test_a_waiting_caller_goes_on_when_there_is_room(start: Start) -> None:
    producer, sender = full_sender(start)
    blocked = threading.Thread(target=sender.submit, args=(message_of(2),))
    blocked.start()

    producer.release()
    blocked.join(10)

    assert not blocked.is_alive()


def test_a_full_queue_does_not_block_an_event_loop(start: Start) -> None:
    producer = ScriptedProducer()
    producer.hold()
    sender = start(producer, capacity=1, timeout_ms=60_000)
    sender.submit(message_of(0))
    assert producer.sending.wait(10)
    sender.submit(message_of(1))

    async def main() -> None:
        with pytest.raises(SendError, match="wait for destination x"):
            sender.submit(message_of(2))

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 10


def test_a_message_whose_time_is_over_in_the_queue_is_not_sent(start: Start) -> None:
    producer = ScriptedProducer()
    producer.hold()
    failed: list[tuple[Message, Exception]] = []
    over = threading.Event()

    def on_error(message: Message, error: Exception) -> None:
        failed.append((message, error))
        over.set()

    sender = start(producer, timeout_ms=30, on_error=on_error)
    sender.post(message_of(0))
    assert producer.sending.wait(10)
    sender.post(message_of(1))
    late = sender.submit(message_of(2))
    with pytest.raises(SendUnconfirmed):
        late.result()
    producer.release()

    assert over.wait(10)
    assert [m.payload for m, _ in failed] == [b"1"]
    assert "was not sent within the send-timeout" in str(failed[0][1])
    assert [m.payload for m in producer.sent] == [b"0"]


def test_what_is_posted_and_fails_goes_to_on_error_and_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[tuple[bytes | None, str]] = []
    over = threading.Event()

    def on_error(message: Message, error: Exception) -> None:
        failed.append((message.payload, str(error)))
        if len(failed) == 3:
            over.set()
        raise ZeroDivisionError("a defect in the user's function")

    producer = ScriptedProducer(lambda m: Failed(SendError("refused"), True) if m.payload != b"9" else None)
    producer.hold()
    sender = start(producer, on_error=on_error)
    with caplog.at_level(logging.ERROR, "streambind.sender"):
        for n in range(3):
            sender.post(message_of(n))
        producer.release()
        assert over.wait(10)
        sender.submit(message_of(9)).result(10)

    assert [payload for payload, _ in failed] == [b"0", b"1", b"2"]
    assert "binding out-x: a message to destination x was refused: refused" in caplog.text
    assert "on_publish_error raised" in caplog.text


def test_post_never_raises(start: Start) -> None:
    failed: list[Exception] = []
    sender = start(ScriptedProducer(), on_error=lambda _, error: failed.append(error))
    sender.stop(1000)

    sender.post(message_of())

    assert "has been stopped" in str(failed[0])
    assert isinstance(failed[0], SendError)
