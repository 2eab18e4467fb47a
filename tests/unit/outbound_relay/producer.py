"""A producer binding whose answers a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import LifecycleError
from streambind.message import Message

Result = Sent | Failed | Unknown


class ScriptedProducer:
    """Answers `Sent` with growing offsets, or what `answer` says; while `hold()` is in force a send waits, as with
    a broker that is away, until `release()` or `purge()`."""

    def __init__(self, answer: Callable[[Message], Result | None] | None = None) -> None:
        self.sent: list[Message] = []
        self.batches: list[int] = []
        self.purged = False
        self.sending = threading.Event()
        self._answer = answer
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def send(self, messages: Sequence[Message]) -> list[Result]:
        if self.purged:
            raise LifecycleError("purged")
        self.sending.set()
        self._open.wait()
        self.batches.append(len(messages))
        return [self._result(message) for message in messages]

    def max_payload_bytes(self) -> int | None:
        return None

    def purge(self) -> None:
        self.purged = True
        self._open.set()

    def unbind(self, timeout_ms: int) -> None:
        self.purge()

    def _result(self, message: Message) -> Result:
        if self.purged:
            return Unknown("purged")
        answer = self._answer(message) if self._answer else None
        if answer is not None:
            return answer
        self.sent.append(message)
        return Sent(0, len(self.sent) - 1)
