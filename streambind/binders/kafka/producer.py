"""An output at work on Kafka."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from streambind.binders.kafka.client_log import ClientLog
from streambind.binders.kafka.client_settings import SIZE_MARGIN_BYTES, WARM_UP_MS
from streambind.binders.kafka.error_mapping import broker_error, describe, is_outage
from streambind.binders.kafka.sending import Result, Sending
from streambind.binding.binder import ProducerTarget
from streambind.errors import LifecycleError
from streambind.message import Message

LOG = logging.getLogger("streambind.binders.kafka")

_POLL_S = 0.25
_FULL_WAIT_S = 0.02
_GRACE_S = 0.5
_PURGE_WAIT_S = 1.0
_QUIET_S = 30.0
_PURGED = "sending was stopped before the broker had answered"
_BROKEN = "the Kafka client broke before the broker had answered"


class KafkaProducerBinding:
    """A `ProducerBinding`: idempotent, every message accounted for.

    Any number of threads may send at once: each waits for the reports of its own messages, one thread polls for
    all. A client that breaks is replaced at the next send.
    """

    def __init__(
        self, target: ProducerTarget, settings: Mapping[str, str], *, max_message_bytes: int | None
    ) -> None:
        self._target = target
        self._settings = dict(settings)
        self._max_payload_bytes: int | None = None
        if max_message_bytes is not None:
            self._max_payload_bytes = max(0, max_message_bytes - SIZE_MARGIN_BYTES)  # room for key and headers
            self._settings["message.max.bytes"] = str(max_message_bytes)
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._sending: set[Sending] = set()
        self._broken: str | None = None
        self._purged = False
        self._quiet_until = 0.0
        self._closing = threading.Event()
        self._client = self._new_client()
        self._thread = threading.Thread(
            target=self._poll, name=f"streambind-{target.binding}-reports", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    @property
    def is_bound(self) -> bool:
        return not self._closing.is_set()

    def send(self, messages: Sequence[Message]) -> list[Result]:
        sending = Sending(self._target.destination, len(messages))
        client = self._enter(sending)
        try:
            self._produce(client, sending, enumerate(messages))
            self._await(sending)
            for index in sorted(sending.oversized):
                self._alone(client, sending, index, messages[index])
            return sending.finished(self._why())
        finally:
            with self._lock:
                self._sending.discard(sending)
                self._idle.notify_all()

    def max_payload_bytes(self) -> int | None:
        return self._max_payload_bytes

    def purge(self) -> None:
        with self._lock:
            self._purged = True
            client = self._client
        client.purge(in_queue=True, in_flight=True, blocking=False)
        deadline = time.monotonic() + _PURGE_WAIT_S
        with self._lock:
            self._idle.wait_for(lambda: not self._sending, timeout=max(0.0, deadline - time.monotonic()))
            for sending in self._sending:
                sending.done.set()

    def unbind(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._lock:
            self._idle.wait_for(lambda: not self._sending, timeout=max(0.0, deadline - time.monotonic()))
        if not self._purged:
            self.purge()
        self._closing.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(max(_GRACE_S, deadline - time.monotonic()))

    def _enter(self, sending: Sending) -> Producer:
        with self._lock:
            if self._purged:
                raise LifecycleError(
                    f"binding {self._target.binding}: the output to {self._target.destination} is stopped; "
                    f"send before stopping it"
                )
            if self._broken is not None and not self._sending:
                LOG.error("binding %s: the Kafka client broke (%s); here is a new one", *self._named(self._broken))
                self._client = self._new_client()
                self._broken = None
            self._sending.add(sending)
            return self._client

    def _produce(self, client: Producer, sending: Sending, messages: Iterable[tuple[int, Message]]) -> None:
        accepted = 0
        for index, message in messages:
            accepted += self._give(client, sending, index, message)
        sending.all_accepted(accepted)

    def _give(self, client: Producer, sending: Sending, index: int, message: Message) -> bool:
        def wait_for_room() -> bool:
            if self._purged or self._broken is not None:
                return False
            sending.done.wait(_FULL_WAIT_S)  # the polling thread makes room
            return True

        try:
            return sending.give(
                client, index, message, max_payload_bytes=self._max_payload_bytes, wait_for_room=wait_for_room
            )
        except KafkaException as exc:
            self._break(describe(exc.args[0]))
            return False

    def _await(self, sending: Sending) -> None:
        timeout_ms = self._target.timeout_ms
        if timeout_ms is None:
            sending.done.wait()
        else:
            warm_up_s = max(0.0, self._made_at + WARM_UP_MS / 1000 - time.monotonic())
            sending.done.wait(timeout_ms / 1000 + warm_up_s + _GRACE_S)

    def _alone(self, client: Producer, sending: Sending, index: int, message: Message) -> None:
        """The broker refused a batch for its size: only the message that is refused by itself is too large."""
        alone = Sending(self._target.destination, 1)
        with self._lock:
            self._sending.add(alone)
        try:
            self._produce(client, alone, [(0, message)])
            self._await(alone)
            sending.results[index] = alone.results[0]
        finally:
            with self._lock:
                self._sending.discard(alone)

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._client.poll(_POLL_S)
            except KafkaException as exc:
                self._break(describe(exc.args[0]))
                self._closing.wait(_POLL_S)  # the next send brings a new client

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._break(describe(error))
        elif not is_outage(error):
            LOG.warning("binding %s: %s", *self._named(describe(error)))
        elif time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET_S
            LOG.warning("binding %s: the broker is away: %s", *self._named(describe(error)))

    def _break(self, text: str) -> None:
        """The client is beyond repair: what it still has will not be reported."""
        with self._lock:
            if self._broken is not None:
                return
            self._broken = text
            for sending in self._sending:
                sending.done.set()

    def _why(self) -> str:
        if self._purged:
            return _PURGED
        if self._broken is not None:
            return f"{_BROKEN}: {self._broken}"
        return f"{self._target.destination} did not confirm within {self._target.timeout_ms} ms"

    def _named(self, text: str) -> tuple[str, str]:
        return self._target.binding, text

    def _new_client(self) -> Producer:
        self._made_at = time.monotonic()
        try:
            return Producer(
                {**self._settings, "error_cb": self._on_error},
                logger=ClientLog(),
            )
        except (KafkaException, ValueError, TypeError) as exc:
            doing = f"binding {self._target.binding}: the producer's settings are refused"
            raise broker_error(exc, doing) from exc
