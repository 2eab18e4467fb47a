"""An output at work on Kafka."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from streambind.binders.kafka.client_log import ClientLog
from streambind.binders.kafka.client_settings import SIZE_MARGIN_BYTES, WARM_UP_MS
from streambind.binders.kafka.error_mapping import broker_error, describe, is_outage
from streambind.binders.kafka.sending import Result, Sending
from streambind.binding.binder import ProducerTarget
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Sent
from streambind.errors import LifecycleError, StreambindError
from streambind.message import Message

LOG = logging.getLogger("streambind.binders.kafka")

_POLL_S = 0.25
_BROKEN_POLL_S = 0.05
_FULL_WAIT_S = 0.02
_FIRST_TURN_S = 0.005
_GRACE_S = 0.5
_PURGE_WAIT_S = 1.0
_LAST_REPORTS_S = 5.0
_QUIET_S = 30.0
_GAPLESS = "_GAPLESS_GUARANTEE"
_PURGED = "sending was stopped before the broker had answered"
_BROKEN = "the Kafka client broke before the broker had answered"


class KafkaProducerBinding:
    """A `ProducerBinding`: idempotent, every message accounted for.

    Any number of threads may send at once: each waits for the reports of its own messages, and one of them takes
    them in for all. It flushes: the last message of a call waits for no others, unless `lingers`; then one thread
    polls for all. A client that breaks is replaced at the next send.

    The broker refuses batches as a whole: what it has refused is sent again, one by one, and only what it refuses
    alone is at fault. An output without a time limit keeps the order of its keys through that: its client lets
    nothing through behind a refused batch but breaks, `enable.gapless.guarantee`. (Within a time limit the client
    cannot do so, since every message that runs out of time would break it.)

    `limit` asks for the largest message that the destination accepts now, None if unknown.

    Raises:
        BrokerError: from `limit`.
    """

    def __init__(
        self,
        target: ProducerTarget,
        settings: Mapping[str, str],
        *,
        lingers: bool = False,
        limit: Callable[[], int | None],
    ) -> None:
        self._target = target
        self._lingers = lingers
        self._serving = threading.Lock()
        self._settings = dict(settings)
        self._limit = limit
        self._max_payload_bytes: int | None = None
        self._heed_limit()
        self._gapless = target.timeout_ms is None and settings.get("enable.idempotence") == "true"
        self._is_gapless = self._gapless
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
            self._await(client, sending)
            if sending.refused_in_batches:
                self._one_by_one(sending, messages)
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
            if not self._sending and (self._broken is not None or self._is_gapless is not self._gapless):
                self._replace_client(gapless=self._gapless)
            self._sending.add(sending)
            return self._client

    def _produce(self, client: Producer, sending: Sending, messages: Iterable[tuple[int, Message]]) -> None:
        def wait_for_room() -> bool:
            if self._purged or self._broken is not None:
                return False
            self._turn(client.flush, sending.done, _FULL_WAIT_S)  # makes room
            return True

        accepted, largest = 0, self._max_payload_bytes
        for index, message in messages:
            try:
                accepted += sending.give(
                    client, index, message, max_payload_bytes=largest, wait_for_room=wait_for_room
                )
            except KafkaException as exc:
                self._break(describe(exc.args[0]))
        sending.all_accepted(accepted)

    def _await(self, client: Producer, sending: Sending) -> None:
        timeout_ms = self._target.timeout_ms
        if timeout_ms is None:
            self._wait_for(sending.done, client, None)
            if self._broken is not None and not self._purged:
                self._wait_for(sending.reported, client, _LAST_REPORTS_S)
        else:
            warm_up_s = max(0.0, self._made_at + WARM_UP_MS / 1000 - time.monotonic())
            self._wait_for(sending.done, client, timeout_ms / 1000 + warm_up_s + _GRACE_S)

    def _wait_for(self, event: threading.Event, client: Producer, timeout_s: float | None) -> None:
        """Until the event, which reports bring about, at most that long."""
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        turn_s, take_turn = _FIRST_TURN_S, client.flush  # from here on the client waits for no more messages
        while not event.is_set() and (left_s := until - time.monotonic()) > 0:
            self._turn(take_turn, event, min(turn_s, left_s))
            turn_s, take_turn = min(2 * turn_s, _POLL_S), client.poll

    def _turn(self, take_turn: Callable[[float], int], event: threading.Event, timeout_s: float) -> None:
        """Take in reports for all who send, or let another thread do it. Turns are short at first, for those whose
        own messages are through, and for those who are to take over."""
        if self._lingers or not self._serving.acquire(blocking=False):
            event.wait(timeout_s)
            return
        try:
            take_turn(timeout_s)
        except (KafkaException, SystemError) as exc:
            # When the client breaks in a flush, confluent-kafka goes on with its exception pending.
            broken = exc if isinstance(exc, KafkaException) else exc.__cause__
            self._break(describe(broken.args[0]) if isinstance(broken, KafkaException) else str(exc))
            event.wait(_BROKEN_POLL_S)
        finally:
            self._serving.release()

    def _one_by_one(self, sending: Sending, messages: Sequence[Message]) -> None:
        order = KeyOrder()
        for index, message in enumerate(messages):
            if order.holds_back(message.key):
                if not isinstance(sending.results[index], Sent):
                    sending.results[index] = HELD_BACK
                continue
            if index in sending.refused_in_batches:
                sending.results[index] = self._alone(message)
            if not isinstance(sending.results[index], Sent):
                order.stop(message.key)
        try:
            self._heed_limit()
        except StreambindError as error:
            LOG.warning("binding %s: the largest message is not known anew: %s", *self._named(str(error)))

    def _alone(self, message: Message) -> Result:
        alone = Sending(self._target.destination, 1)
        with self._lock:
            if self._broken is not None:
                self._replace_client(gapless=False)  # of one message at a time, nothing gets through behind it
            client = self._client
            self._sending.add(alone)
        try:
            self._produce(client, alone, [(0, message)])
            self._await(client, alone)
            return alone.finished(self._why())[0]
        finally:
            with self._lock:
                self._sending.discard(alone)

    def _heed_limit(self) -> None:
        """From now on; with the next client that is made."""
        limit = self._limit()
        if limit is not None:
            self._max_payload_bytes = max(0, limit - SIZE_MARGIN_BYTES)  # room for key and headers
            self._settings["message.max.bytes"] = str(limit)

    def _replace_client(self, *, gapless: bool) -> None:
        """The lock is held."""
        if self._broken is not None:
            refused = (
                "a batch was refused" if self._is_gapless and _GAPLESS in self._broken else "the client broke"
            )
            LOG.warning(
                "binding %s: %s; here is a new Kafka client: %s", self._target.binding, refused, self._broken
            )
        self._is_gapless = gapless
        self._client = self._new_client()
        self._broken = None

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                if self._lingers:
                    self._client.poll(_POLL_S)
                elif not self._closing.wait(_POLL_S) and self._serving.acquire(blocking=False):
                    try:
                        self._client.poll(0)
                    finally:
                        self._serving.release()
            except KafkaException as exc:
                self._break(describe(exc.args[0]))
                self._closing.wait(_BROKEN_POLL_S)  # reports still come; the next send brings a new client

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
                {
                    **self._settings,
                    **({"enable.gapless.guarantee": "true"} if self._is_gapless else {}),
                    "error_cb": self._on_error,
                },
                logger=ClientLog(),
            )
        except (KafkaException, ValueError, TypeError) as exc:
            doing = f"binding {self._target.binding}: the producer's settings are refused"
            raise broker_error(exc, doing) from exc
