"""One call of `send`: which message has which report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from operator import itemgetter

from confluent_kafka import KafkaError, KafkaException, Producer

from streambind.binders.kafka.batch import KafkaMessage
from streambind.binders.kafka.error_mapping import is_of_a_batch, unsent
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import SendError
from streambind.headers import name_fault
from streambind.message import Message, RawHeaders

Result = Sent | Failed | Unknown

_NAME = itemgetter(0)


class Sending:
    """Results in the order of the messages. The thread that sends calls `refused`, `unfit` and
    `all_accepted`, the one that polls calls the callbacks; `reported` is set once every accepted message has its
    report, `done` as well or when nobody should wait any longer. `refused_in_batches` are messages that the
    broker has refused, but perhaps for the sake of others in their batch."""

    def __init__(self, destination: str, size: int) -> None:
        self.destination = destination
        self.results: list[Result | None] = [None] * size
        self.refused_in_batches: set[int] = set()
        self.done = threading.Event()
        self.reported = threading.Event()
        self._order = KeyOrder()
        self._sound_names: set[str] = set()
        self._reports = 0
        self._accepted: int | None = None

    def callback(self, index: int) -> Callable[[KafkaError | None, KafkaMessage], None]:
        """What the client calls with the report of message `index`."""
        return partial(self._report, index)

    def give(
        self,
        client: Producer,
        index: int,
        message: Message,
        *,
        max_payload_bytes: int | None,
        wait_for_room: Callable[[], bool],
    ) -> bool:
        """Give message `index` to the client; whether it was taken. One that is not taken holds back later ones
        of its key. `wait_for_room` is called while the client's queue is full; it says whether to try again.

        Raises:
            KafkaException: the client is beyond repair.
        """
        if self._order.holds_back(message.key):
            self.results[index] = HELD_BACK
            return False
        taken = self._offer(client, index, message, max_payload_bytes, wait_for_room)
        if not taken:
            self._order.stop(message.key)
        return taken

    def _offer(
        self,
        client: Producer,
        index: int,
        message: Message,
        max_payload_bytes: int | None,
        wait_for_room: Callable[[], bool],
    ) -> bool:
        given, payload, partition = message.raw_headers, message.payload, message.partition
        if (unsound := self._unsound_name(given)) is not None:  # The client would crash the process.
            self.unfit(index, unsound)
            return False
        if max_payload_bytes is not None and payload is not None and len(payload) > max_payload_bytes:
            self.refused(index, KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
            return False
        headers: list[tuple[str, str | bytes | None]] | None = [*given] or None
        while True:
            try:
                client.produce(
                    self.destination,
                    payload,
                    message.key,
                    -1 if partition is None else partition,
                    partial(self._report, index),
                    headers=headers,
                )
                return True
            except BufferError:
                if not wait_for_room():
                    return False
            except KafkaException as exc:
                self.refused(index, exc.args[0])
                if exc.args[0].fatal() or exc.args[0].code() == KafkaError._FATAL:
                    raise
                return False
            except (TypeError, ValueError, OverflowError) as exc:
                self.unfit(index, str(exc))
                return False

    def _unsound_name(self, headers: RawHeaders) -> str | None:
        """Why a name cannot travel; None if all can. Those of one call are mostly the same."""
        try:
            if self._sound_names.issuperset(map(_NAME, headers)):
                return None
        except TypeError:
            pass  # one has no hash: it is none, and told below
        for name, _ in headers:
            if (fault := name_fault(name)) is not None:
                return f"{name!r} cannot be a header's name: {fault}"
            self._sound_names.add(name)
        return None

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
        self._look()

    def finished(self, why: str) -> list[Result]:
        """What is known; the rest is unknown for this reason."""
        return [Unknown(why) if result is None else result for result in self.results]

    def _report(self, index: int, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is None:
            self.results[index] = Sent(message.partition() or 0, message.offset() or 0)
        else:
            self.results[index] = unsent(error, self.destination)
            if is_of_a_batch(error):
                self.refused_in_batches.add(index)
        self._reports += 1
        self._look()

    def _look(self) -> None:
        if self._reports == self._accepted:
            self.reported.set()
            self.done.set()
