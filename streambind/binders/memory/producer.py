"""An output binding of the memory broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from streambind.binders.memory.broker import MemoryBroker
from streambind.binding.binder import ProducerTarget
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import BrokerUnavailableError, LifecycleError
from streambind.message import Message


class MemoryProducerBinding:
    """A `ProducerBinding`. With the broker down a send waits for it, within the target's time; a fence is taken
    when it is made."""

    def __init__(self, broker: MemoryBroker, target: ProducerTarget) -> None:
        self._broker = broker
        self._target = target
        self._fence = None if target.fence is None else broker.take_fence(target.fence)
        self._condition = threading.Condition()
        self._sending = 0
        self._purged = self._closing = False

    @property
    def is_bound(self) -> bool:
        return not self._closing

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        with self._condition:
            if self._purged or self._closing:
                raise LifecycleError(f"output {self._target.binding} is no longer bound: start it before sending")
            self._sending += 1
        try:
            return self._send(messages)
        finally:
            with self._condition:
                self._sending -= 1
                self._condition.notify_all()

    def max_payload_bytes(self) -> int | None:
        return self._broker.max_message_bytes

    def purge(self) -> None:
        with self._condition:
            self._purged = True
        self._broker.interrupt()

    def unbind(self, timeout_ms: int) -> None:
        with self._condition:
            self._closing = True
            self._condition.wait_for(lambda: not self._sending, timeout_ms / 1000)
        self.purge()

    def _send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        timeout_ms = self._target.timeout_ms
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._broker.wait_until_up(left, lambda: self._purged):
                reason = "purged" if self._purged else f"the memory broker is down since {timeout_ms} ms"
                return [Unknown(reason) for _ in messages]
            try:
                return self._broker.append(self._target.destination, messages, self._fence)
            except BrokerUnavailableError:
                continue  # it went down in between: wait again
