"""A fenced output: every send is a transaction, of an id that the broker lets only one client have."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from streambind.binders.kafka.client_log import ClientLog
from streambind.binders.kafka.client_settings import SIZE_MARGIN_BYTES, WARM_UP_MS
from streambind.binders.kafka.error_mapping import broker_error, describe, is_outage
from streambind.binders.kafka.sending import Result, Sending
from streambind.binding.binder import ProducerTarget
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import FencedError, LifecycleError
from streambind.failpoints import failpoint
from streambind.message import Message

_TRANSACTION_TIMEOUT_MS = 60_000
_TURN_S = 0.5
_FULL_WAIT_S = 0.02
_PURGED = "sending was stopped before the broker had answered"


class KafkaFencedProducer:
    """A `ProducerBinding` with a fence. `start` takes the fence: the broker ends what an earlier client of the
    same id has begun, and refuses whatever it sends from then on.

    A client that broke or was shut out is never replaced: whoever goes on must take the fence again. One
    transaction at a time; a second sender waits. No thread: the client is served while it sends.
    """

    def __init__(
        self, target: ProducerTarget, settings: Mapping[str, str], *, max_message_bytes: int | None
    ) -> None:
        self._target = target
        self._max_payload_bytes: int | None = None
        mine = {**settings, **_fenced(target)}
        if max_message_bytes is not None:
            self._max_payload_bytes = max(0, max_message_bytes - SIZE_MARGIN_BYTES)
            mine["message.max.bytes"] = str(max_message_bytes)
        self._transaction = threading.Lock()
        self._purged = False
        self._lost: str | None = None
        try:
            self._client = Producer(mine, logger=ClientLog())
        except (KafkaException, ValueError, TypeError) as exc:
            raise broker_error(exc, f"binding {target.binding}: the producer's settings are refused") from exc

    def start(self, timeout_s: float) -> None:
        """Take the fence.

        Raises:
            BrokerUnavailableError: not within the time.
            BrokerError: the broker refuses.
        """
        try:
            self._client.init_transactions(timeout_s)
        except KafkaException as exc:
            self._lost = describe(exc.args[0])
            doing = f"binding {self._target.binding}: taking the fence of {self._target.destination}"
            raise broker_error(exc, doing) from exc

    @property
    def is_bound(self) -> bool:
        return not self._purged

    def send(self, messages: Sequence[Message]) -> list[Result]:
        with self._transaction:
            self._require_usable()
            deadline = self._deadline()
            reason, results = self._transact(messages, deadline)
            if reason is not None and len(messages) > 1 and any(map(_is_for_good, results)):
                # The broker refuses a batch as a whole: only what is refused by itself is at fault.
                results = self._one_by_one(messages, deadline)
            return results

    def max_payload_bytes(self) -> int | None:
        return self._max_payload_bytes

    def purge(self) -> None:
        self._purged = True
        self._client.purge(in_queue=True, in_flight=True, blocking=False)

    def unbind(self, timeout_ms: int) -> None:
        if self._transaction.acquire(timeout=timeout_ms / 1000):
            self._transaction.release()
        self.purge()

    def _one_by_one(self, messages: Sequence[Message], deadline: float | None) -> list[Result]:
        results: list[Result] = []
        order = KeyOrder()
        for message in messages:
            if order.holds_back(message.key):
                results.append(HELD_BACK)
                continue
            [result] = self._transact([message], deadline)[1]
            if isinstance(result, Unknown) and not self._purged:
                # The first one after a refused batch: its numbers are taken for skipped ones, until the client has
                # given it up too. Nothing of what was given up is read as committed.
                [result] = self._transact([message], deadline)[1]
            results.append(result)
            if isinstance(result, Unknown):
                break
            if not isinstance(results[-1], Sent):
                order.stop(message.key)
        return results + [Unknown("an earlier message is in doubt")] * (len(messages) - len(results))

    def _transact(self, messages: Sequence[Message], deadline: float | None) -> tuple[str | None, list[Result]]:
        """One transaction. None and what became of each if it was committed; else the reason, and no message
        is `Sent`."""
        sending = Sending(self._target.destination, len(messages))
        try:
            self._client.poll(0)
            self._client.begin_transaction()
            sending.all_accepted(sum(self._give(sending, i, m) for i, m in enumerate(messages)))
        except KafkaException as exc:
            self._lose(exc.args[0])
        failpoint("kafka.in_transaction")
        reason = self._commit(deadline)
        if reason is None:
            return None, sending.finished("it was committed without a report")
        self._abort(deadline)
        results = sending.finished(reason)
        return reason, [Unknown(reason) if isinstance(result, Sent) else result for result in results]

    def _give(self, sending: Sending, index: int, message: Message) -> bool:
        return sending.give(
            self._client,
            index,
            message,
            max_payload_bytes=self._max_payload_bytes,
            wait_for_room=self._wait_for_room,
        )

    def _wait_for_room(self) -> bool:
        self._client.poll(_FULL_WAIT_S)
        return not self._purged

    def _commit(self, deadline: float | None) -> str | None:
        """Why nothing is committed; None if all is.

        Raises:
            FencedError: the fence is lost, and nobody knows what of it is committed.
        """
        while True:
            try:
                self._client.commit_transaction(_TURN_S)
                return None
            except KafkaException as exc:
                error = exc.args[0]
                if self._purged:
                    return _PURGED
                if error.txn_requires_abort():
                    return f"{self._target.destination}: the broker did not take all of it: {describe(error)}"
                if not _is_passing(error):
                    self._lose(error)
                if deadline is not None and time.monotonic() >= deadline:
                    return f"{self._target.destination} did not confirm within {self._target.timeout_ms} ms"

    def _abort(self, deadline: float | None) -> None:
        """End the transaction without effect, so that the next one can begin.

        Raises:
            FencedError: the fence is lost.
        """
        while not self._purged:
            try:
                self._client.abort_transaction(_TURN_S)
                return
            except KafkaException as exc:
                late = deadline is not None and time.monotonic() >= deadline
                if late or not _is_passing(exc.args[0]):
                    self._lose(exc.args[0])

    def _lose(self, error: KafkaError) -> None:
        """
        Raises:
            FencedError: always.
        """
        self._lost = describe(error)
        self._require_usable()

    def _require_usable(self) -> None:
        if self._purged:
            raise LifecycleError(
                f"binding {self._target.binding}: the output to {self._target.destination} is stopped; "
                f"send before stopping it"
            )
        if self._lost is not None:
            raise FencedError(f"{self._target.destination}: the fence is lost: {self._lost}")

    def _deadline(self) -> float | None:
        timeout_ms = self._target.timeout_ms
        return None if timeout_ms is None else time.monotonic() + timeout_ms / 1000


def _fenced(target: ProducerTarget) -> dict[str, str]:
    """A transaction that is not ended in time is ended by the broker; the client gives a message up before."""
    timeout_ms = _TRANSACTION_TIMEOUT_MS if target.timeout_ms is None else target.timeout_ms + WARM_UP_MS
    return {
        "transactional.id": f"streambind-{target.fence}",
        "transaction.timeout.ms": str(_TRANSACTION_TIMEOUT_MS),
        "message.timeout.ms": str(min(timeout_ms, _TRANSACTION_TIMEOUT_MS)),
        "enable.idempotence": "true",
        "acks": "all",
    }


def _is_for_good(result: Result) -> bool:
    return isinstance(result, Failed) and result.permanent


def _is_passing(error: KafkaError) -> bool:
    """Whether the same call may be made again."""
    return not error.fatal() and (error.retriable() or is_outage(error))
