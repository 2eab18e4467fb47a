"""Dead letters that a broker finds too large go with fewer headers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.configuration.properties import DeadLetterFormat
from streambind.errors import DestinationError, SendError
from streambind.inbound.dead_letter import Failure, dead_letter
from streambind.inbound.letter_producer import LetterProducer
from streambind.message import Message


class Broker:
    """Takes messages of at most so many headers; `refusal` says how it refuses others."""

    def __init__(self, most: int, refusal: Failed | None = None) -> None:
        self.most = most
        self.refusal = refusal or Failed(SendError("too large", permanent=True), permanent=True)
        self.taken: list[Message] = []
        self.calls = 0

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        self.calls += 1
        results: list[Sent | Failed | Unknown] = []
        for message in messages:
            if len(message.raw_headers) > self.most:
                results.append(self.refusal)
            else:
                self.taken.append(message)
                results.append(Sent(0, len(self.taken)))
        return results

    def max_payload_bytes(self) -> int | None:
        return 7

    def purge(self) -> None: ...
    def unbind(self, timeout_ms: int) -> None: ...


def letter(form: DeadLetterFormat = DeadLetterFormat.SPRING_CLOUD_STREAM) -> Message:
    message = Message(b"v", b"k", destination="t", partition=0, offset=0)
    return dead_letter(message, Failure(ValueError("x"), 1, 1), form=form, group="g")


@pytest.mark.parametrize(
    ("most", "last"), [(10, "x-exception-message"), (9, "x-exception-fqcn"), (5, "x-original-offset")]
)
def test_it_goes_with_as_many_headers_as_are_taken(most: int, last: str) -> None:
    broker = Broker(most)

    [small, result] = LetterProducer(broker).send([Message(b"small"), letter()])

    assert isinstance(small, Sent)
    assert isinstance(result, Sent)
    assert [message.payload for message in broker.taken] == [b"small", b"v"]
    assert broker.taken[1].raw_headers[-1][0] == last


def test_what_is_too_large_whatever_is_left_out_is_refused() -> None:
    broker = Broker(4)

    assert LetterProducer(broker).send([letter()]) == [broker.refusal]
    assert broker.calls == 4


@pytest.mark.parametrize(
    "refusal",
    [
        Failed(SendError("not now"), permanent=False),
        Failed(DestinationError("it does not exist"), permanent=True),
    ],
)
def test_a_destination_that_takes_nothing_is_waited_for(refusal: Failed) -> None:
    broker = Broker(0, refusal)

    assert LetterProducer(broker).send([letter()]) == [refusal]
    assert broker.calls == 1


def test_other_messages_are_left_alone() -> None:
    broker = Broker(0)

    assert LetterProducer(broker).send([Message(b"", raw_headers=[("a", b"b")])]) == [broker.refusal]
    assert broker.calls == 1
    assert LetterProducer(broker).max_payload_bytes() == 7
