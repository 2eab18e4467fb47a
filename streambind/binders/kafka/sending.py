"""One call of `send`: which message has which report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError

from streambind.binders.kafka.batch import KafkaMessage
from streambind.binders.kafka.error_mapping import too_large, unsent
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import SendError

Result = Sent | Failed | Unknown


class Sending:
    """Results in the order of the messages. The thread that sends calls `refused`, `unfit` and
    `all_accepted`, the one that polls calls the callbacks; `done` is set once every accepted message has its
    report."""

    def __init__(self, destination: str, size: int) -> None:
        self.destination = destination
        self.results: list[Result | None] = [None] * size
        self.oversized: list[int] = []
        self.done = threading.Event()
        self._reported = 0
        self._accepted: int | None = None

    def callback(self, index: int) -> Callable[[KafkaError | None, KafkaMessage], None]:
        """What the client calls with the report of message `index`."""
        return partial(self._report, index)

    def refused(self, index: int, error: KafkaError) -> None:
        """The client did not take the message."""
        self.results[index] = unsent(error, self.destination)

    def unfit(self, index: int, why: str) -> None:
        """The message was not given to the client: it is none that could travel."""
        text = f"sending to {self.destination}: {why}"
        self.results[index] = Failed(SendError(text, permanent=True), permanent=True)

    def all_accepted(self, count: int) -> None:
        """`count` messages were taken, no more will be."""
        self._accepted = count
        if self._reported == count:
            self.done.set()

    def finished(self, why: str) -> list[Result]:
        """What is known; the rest is unknown for this reason."""
        return [Unknown(why) if result is None else result for result in self.results]

    def _report(self, index: int, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is None:
            self.results[index] = Sent(message.partition() or 0, message.offset() or 0)
        else:
            self.results[index] = unsent(error, self.destination)
            if too_large(error):
                self.oversized.append(index)
        self._reported += 1
        if self._reported == self._accepted:
            self.done.set()
