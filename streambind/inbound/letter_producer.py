"""Sends dead letters in fewer bytes where a broker finds them too large."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.binding.binder import ProducerBinding
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import DestinationError
from streambind.inbound.dead_letter import lighter
from streambind.message import Message

Result = Sent | Failed | Unknown


class LetterProducer:
    """A ProducerBinding that sends what is refused for good once more, with fewer of the headers that streambind
    added, until it is accepted or nothing is left to leave out. Such a letter may come after later ones of the
    same call."""

    def __init__(self, producer: ProducerBinding) -> None:
        self._producer = producer

    def send(self, messages: Sequence[Message]) -> list[Result]:
        results = list(self._producer.send(messages))
        for index, result in enumerate(results):
            letter: Message | None = messages[index]
            while letter is not None and _is_refused(result) and (letter := lighter(letter)) is not None:
                [result] = self._producer.send([letter])
                results[index] = result
        return results

    def max_payload_bytes(self) -> int | None:
        return self._producer.max_payload_bytes()

    def purge(self) -> None:
        self._producer.purge()

    def unbind(self, timeout_ms: int) -> None:
        self._producer.unbind(timeout_ms)


def _is_refused(result: Result) -> bool:
    """Whether the message itself is; a destination that takes nothing may be mended."""
    return isinstance(result, Failed) and result.permanent and not isinstance(result.error, DestinationError)
