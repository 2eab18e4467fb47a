"""What `@send_to` sends without a database, and when the handled message counts as done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind.binding.outcome import Outcome, RetryAfter, Stop
from streambind.errors import BrokerUnavailableError, EncodeError, LifecycleError, SendError
from streambind.inbound.listener import send_to, stream_listener
from streambind.inbound.replies import Reply
from tests.unit.inbound.batches import ListBatch, record
from tests.unit.inbound.planning import mistakes, plan


@dataclass
class Sender:
    sent: list[Reply] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def publish(self, session: Session, reply: Reply) -> None:
        raise AssertionError("there is no session")

    def send(self, replies: Sequence[Reply]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent += replies


@stream_listener("in-things")
@send_to("out-x")
def answers(event: dict[str, Any]) -> dict[str, Any] | None:
    return {"double": event["n"] * 2} if event["n"] else None


@stream_listener("in-things")
@send_to("out-x", key=lambda answer: answer["a"])
def answers_many(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"a": event["n"]}, {"a": event["n"] + 1}]


@stream_listener("in-things")
@send_to("out-x")
def answers_a_list(event: dict[str, Any]) -> Sequence[int]:
    return [1, 2]


@stream_listener("in-things")
@send_to("out-x")
async def answers_async(event: dict[str, Any]) -> int:
    return int(event["n"])


@stream_listener("in-things")
@send_to("out-x")
def answers_batch(events: list[dict[str, Any]]) -> int:
    return len(events)


def replying(function: Callable[..., Any], sender: Sender, *records: Any, **settings: Any) -> Outcome:
    batch = ListBatch([record(payload, "k") for payload in records])
    return plan(function, surroundings={"replies": sender}, **settings).deliver(batch)


def test_a_result_is_sent_under_the_key_of_the_message_none_is_not() -> None:
    sender = Sender()

    assert replying(answers, sender, {"n": 1}, {"n": 0}, {"n": 2}).done == 3
    assert sender.sent == [Reply("out-x", {"double": n}, inherited_key=b"k") for n in (2, 4)]


@pytest.mark.parametrize(
    ("function", "sent"),
    [
        (answers_many, [Reply("out-x", {"a": 1}, 1), Reply("out-x", {"a": 2}, 2)]),
        (answers_a_list, [Reply("out-x", [1, 2], inherited_key=b"k")]),
        (answers_async, [Reply("out-x", 1, inherited_key=b"k")]),
        (answers_batch, [Reply("out-x", 1)]),
    ],
)
def test_only_a_list_that_is_annotated_sends_several(function: Any, sent: list[Reply]) -> None:
    sender = Sender()

    assert replying(function, sender, {"n": 1}).done == 1
    assert sender.sent == sent


@pytest.mark.parametrize("error", [SendError("away"), BrokerUnavailableError("away"), LifecycleError("stopping")])
def test_no_message_is_done_before_its_reply_is_and_none_is_to_blame(error: Exception) -> None:
    sender = Sender(failures=[error])

    outcome = replying(answers, sender, {"n": 1}, {"n": 2})

    assert outcome.done == 0
    assert isinstance(outcome.then, RetryAfter)
    assert outcome.then.delay_ms <= 100


@pytest.mark.parametrize("error", [SendError("too large", permanent=True), EncodeError("no form")])
def test_a_reply_that_can_never_be_sent_fails_its_message(error: Exception) -> None:
    class Picky(Sender):
        def send(self, replies: Sequence[Reply]) -> None:
            if any(reply.payload == {"double": 4} for reply in replies):
                raise error
            super().send(replies)

    sender = Picky()
    outcome = replying(answers, sender, {"n": 1}, {"n": 2}, {"n": 3}, max_attempts=1)

    assert outcome.done == 1
    assert isinstance(outcome.then, Stop)
    assert [reply.payload for reply in sender.sent] == [{"double": 2}]


def test_replies_before_a_failing_message_are_sent_first() -> None:
    sender = Sender()

    outcome = replying(answers, sender, {"n": 1}, {}, {"n": 3})

    assert (outcome.done, type(outcome.then)) == (1, Stop)
    assert [reply.payload for reply in sender.sent] == [{"double": 2}]


def test_a_reply_without_anyone_to_send_it_is_a_mistake() -> None:
    assert "nothing here can send to out-x" in mistakes(answers)
