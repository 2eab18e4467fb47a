"""Sends without an outbox: a queue and a thread per output binding."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streambind.binding.binder import ProducerBinding
from streambind.binding.key_order import HELD_BACK
from streambind.binding.outcome import Failed, Sent, Unknown, one_each
from streambind.errors import LifecycleError, SendError, SendUnconfirmed, StreambindError
from streambind.message import Message
from streambind.outbound.receipt import Receipt

log = logging.getLogger("streambind.sender")

_BATCH = 500

OnError = Callable[[Message, Exception], None]


class QueuedSender:
    """Messages leave in the order of the calls, in batches, on a thread that starts with the first message.

    `submit` is for callers who wait for the outcome, `post` for those who cannot (a commit that has happened):
    its failures go to `on_error` and the log. `capacity` bounds the queue. Thread-safe; `post` never waits, nor
    does `submit` on a thread that runs an event loop.
    """

    def __init__(
        self,
        producer: ProducerBinding,
        binding: str,
        *,
        destination: str,
        capacity: int,
        timeout_ms: int,
        on_error: OnError | None = None,
    ) -> None:
        self._producer = producer
        self._binding = binding
        self._destination = destination
        self._capacity = capacity
        self._timeout_ms = timeout_ms
        self._on_error = on_error
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._emptied = threading.Condition(lock)
        self._queue: deque[_Queued] = deque()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._in_flight = 0

    @property
    def waiting(self) -> int:
        """How many messages have no outcome yet."""
        with self._filled:
            return len(self._queue) + self._in_flight

    def submit(self, message: Message) -> Receipt:
        """Queue a message. With the queue full it waits up to the send-timeout for room; on a thread that runs
        an event loop it does not wait.

        Raises:
            SendError: the queue is full: the broker is away or slower than the callers.
            LifecycleError: after `stop`.
        """
        receipt = Receipt(self._binding, self._destination, timeout_ms=self._timeout_ms)
        self._enqueue(_Queued(message, receipt.deadline, receipt), may_wait=not _runs_event_loop())
        return receipt

    def post(self, message: Message) -> None:
        """Queue a message whose outcome nobody waits for. Never raises and never waits: what cannot be sent, or
        finds the queue full, goes to `on_error` and the log."""
        queued = _Queued(message, time.monotonic() + self._timeout_ms / 1000, None)
        try:
            self._enqueue(queued, may_wait=False)
        except StreambindError as error:
            self._give_up([queued], send_error(error))

    def stop(self, timeout_ms: int) -> None:
        """Send what is queued while the time lasts, then purge; the rest fails. Idempotent."""
        deadline = time.monotonic() + timeout_ms / 1000
        with self._filled:
            self._stopping = True
            thread, self._thread = self._thread, None
            self._filled.notify_all()
            self._emptied.notify_all()
        if thread is not None:
            thread.join(max(0.0, timeout_ms / 1000 - min(0.5, timeout_ms / 5000)))
            if thread.is_alive():
                self._producer.purge()
                self._abandon()
                thread.join(max(0.0, deadline - time.monotonic()))

    def _enqueue(self, queued: _Queued, *, may_wait: bool) -> None:
        with self._filled:
            if may_wait and not self._stopping and len(self._queue) >= self._capacity:
                self._emptied.wait_for(
                    lambda: self._stopping or len(self._queue) < self._capacity, self._timeout_ms / 1000
                )
            if self._stopping:
                raise LifecycleError(
                    f"binding {self._binding} to destination {self._destination} has been stopped; "
                    "send while the application runs"
                )
            if len(self._queue) >= self._capacity:
                raise SendError(
                    f"binding {self._binding}: {self._capacity} messages wait for destination {self._destination} "
                    "already; the broker is away or slower than the callers. Send later, or wait for receipts"
                )
            self._queue.append(queued)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"streambind-sender {self._binding}", daemon=True
                )
                self._thread.start()
            self._filled.notify()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._send(batch)
            finally:
                with self._filled:
                    self._in_flight = 0

    def _next_batch(self) -> list[_Queued]:
        """The next messages, waiting for them; none once it is stopping and all are sent."""
        with self._filled:
            self._filled.wait_for(lambda: self._queue or self._stopping)
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            self._in_flight = len(batch)
            self._emptied.notify_all()
            return batch

    def _send(self, batch: list[_Queued]) -> None:
        """Send and settle; what is held back behind a message that was refused is sent after it: each message
        stands for itself."""
        while batch:
            batch = self._attempt(batch)

    def _attempt(self, batch: list[_Queued]) -> list[_Queued]:
        """Returns what was held back, never all of it."""
        now = time.monotonic()
        late = [queued for queued in batch if queued.deadline <= now]
        if late:
            self._give_up(late, self._error("was not sent within the send-timeout: earlier messages took it up"))
        batch = [queued for queued in batch if queued.deadline > now]
        if not batch:
            return []
        try:
            results = one_each(self._producer.send([queued.message for queued in batch]), len(batch))
        except StreambindError as error:
            self._give_up(batch, self._error(f"was not sent: {error}", error))
        except Exception as error:
            log.exception("binding %s: the binder failed; whether messages were sent is not known", self._binding)
            self._give_up(batch, self._unconfirmed(f"the binder failed: {error}"))
        else:
            known = [
                (queued, result) for queued, result in zip(batch, results, strict=True) if result != HELD_BACK
            ]
            self._settle(known)
            if known:
                return [queued for queued, result in zip(batch, results, strict=True) if result == HELD_BACK]
            self._give_up(batch, self._unconfirmed("a defect of the binder: it held everything back"))
        return []

    def _settle(self, results: Sequence[tuple[_Queued, Sent | Failed | Unknown]]) -> None:
        failures: dict[str, tuple[SendError, list[_Queued]]] = {}
        for queued, result in results:
            error: SendError
            match result:
                case Sent(partition, offset):
                    if queued.receipt is not None:
                        queued.receipt.confirm(partition, offset)
                    continue
                case Failed(cause, permanent):
                    error = self._error(f"was refused: {cause}", cause, permanent=permanent)
                case Unknown(reason):
                    error = self._unconfirmed(reason)
            failures.setdefault(str(error), (error, []))[1].append(queued)
        for error, failed in failures.values():
            self._give_up(failed, error)

    def _abandon(self) -> None:
        with self._filled:
            rest = list(self._queue)
            self._queue.clear()
        if rest:
            self._give_up(rest, self._error("was not sent: the application has been stopped"))

    def _give_up(self, batch: Sequence[_Queued], error: SendError) -> None:
        """Messages that fail for one reason: their receipts get an error each, the log one line for all."""
        posted = [queued for queued in batch if queued.receipt is None]
        for queued in batch:
            if queued.receipt is not None:
                queued.receipt.fail(_copied(error))
        if not posted:
            return
        report_unsent([queued.message for queued in posted], error, self._on_error)

    def _error(self, what: str, cause: Exception | None = None, *, permanent: bool | None = None) -> SendError:
        known = getattr(cause, "permanent", False) if permanent is None else permanent
        error = SendError(
            f"binding {self._binding}: a message to destination {self._destination} {what}", permanent=known
        )
        error.__cause__ = cause
        return error

    def _unconfirmed(self, reason: str) -> SendUnconfirmed:
        return SendUnconfirmed(
            f"binding {self._binding}: a message to destination {self._destination} was not confirmed and may "
            f"still arrive: {reason}"
        )


def send_error(error: StreambindError) -> SendError:
    """The error as one of sending."""
    if isinstance(error, SendError):
        return error
    failed = SendError(str(error))
    failed.__cause__ = error
    return failed


def report_unsent(messages: Sequence[Message], error: SendError, on_error: OnError | None) -> None:
    """Tell the log, and `on_error` message by message, what could not be sent after its commit. Never raises."""
    log.error("%s (%d messages, sent after their commit)", error, len(messages))
    if on_error is None:
        return
    for message in messages:
        try:
            on_error(message, error)
        except Exception:
            log.exception("on_publish_error raised")


class _Queued(NamedTuple):
    """`deadline` is monotonic; no receipt: posted, nobody waits."""

    message: Message
    deadline: float
    receipt: Receipt | None


def _copied(error: SendError) -> SendError:
    """An error that is raised in several threads would collect the traceback of each."""
    copied = type(error)(str(error), permanent=error.permanent)
    copied.__cause__ = error.__cause__
    return copied


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
