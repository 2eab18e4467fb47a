"""What a direct send returns: the broker's answer, once it is there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

from streambind.errors import SendError, SendUnconfirmed

log = logging.getLogger("streambind.sender")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The broker has the message, at this place."""

    binding: str
    destination: str
    partition: int
    offset: int


class Receipt:
    """The promise of a direct send; `result()` it, or `await` it in any running loop. Thread-safe.

    It ends with a Confirmation, a SendError (the broker does not have the message) or SendUnconfirmed (it may
    still arrive): the latter at the latest when the binding's send-timeout is over, counted from the call of
    `send`. A failure that nobody asks for is written to the log when the receipt is dropped.
    """

    def __init__(self, binding: str, destination: str, *, timeout_ms: int) -> None:
        self.binding = binding
        self.destination = destination
        self.deadline = time.monotonic() + timeout_ms / 1000
        self._timeout_ms = timeout_ms
        self._asked = False
        self._outcome: Future[Confirmation] = Future()
        # From now on nobody's cancellation can end it: a cancelled `await` leaves the message on its way.
        self._outcome.set_running_or_notify_cancel()

    def done(self) -> bool:
        """Whether the outcome is known."""
        if not self._outcome.done() and time.monotonic() >= self.deadline:
            self._expire()
        return self._outcome.done()

    def result(self, timeout: float | None = None) -> Confirmation:
        """Wait for the outcome, at most `timeout` seconds, and at most as long as the binding's send-timeout.
        Blocks the thread: in a coroutine, await the receipt instead.

        Raises:
            SendError: the broker does not have the message.
            SendUnconfirmed: nobody knows; it may still arrive.
            TimeoutError: `timeout` is over; the message is still on its way and may be asked for again.
        """
        left_s = max(0.0, self.deadline - time.monotonic())
        with suppress(TimeoutError):
            self._outcome.exception(left_s if timeout is None else min(timeout, left_s))
        if not self.done():
            raise TimeoutError(f"binding {self.binding}: no report from {self.destination} in {timeout} s yet")
        self._asked = True
        return self._outcome.result()

    def __await__(self) -> Generator[object, None, Confirmation]:
        return self._wait().__await__()

    def confirm(self, partition: int, offset: int) -> None:
        """The broker has it. A receipt that has ended already stays as it is."""
        with suppress(InvalidStateError):
            self._outcome.set_result(Confirmation(self.binding, self.destination, partition, offset))

    def fail(self, error: SendError) -> None:
        """The broker does not have it, or nobody knows."""
        with suppress(InvalidStateError):
            self._outcome.set_exception(error)

    async def _wait(self) -> Confirmation:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(woken.set)

        self._outcome.add_done_callback(wake)
        timer = loop.call_later(max(0.0, self.deadline - time.monotonic()), self._expire)
        try:
            await woken.wait()
        finally:
            timer.cancel()
        self._asked = True
        return self._outcome.result()

    def _expire(self) -> None:
        self.fail(
            SendUnconfirmed(
                f"binding {self.binding}: no report from destination {self.destination} within the send-timeout "
                f"of {self._timeout_ms} ms; the message may still arrive"
            )
        )

    def __del__(self) -> None:
        outcome = self.__dict__.get("_outcome")
        if outcome is not None and outcome.done() and not self._asked:
            error = outcome.exception(0)
            if error is not None:
                log.error("a message was not confirmed and nobody asked for its receipt: %s", error)
