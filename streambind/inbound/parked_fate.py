"""What becomes of a parked message that failed: tried again, dead with its key, or passed over."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from streambind.binding.binder import Lane
from streambind.configuration.properties import OnError
from streambind.errors import DeliveryError, SequenceGapError
from streambind.inbound.dead_letter import DeadLetters, Failure, dead_letter, original
from streambind.inbound.error_policy import ErrorPolicy
from streambind.inbound.failure import Overtaken
from streambind.inbound.guard import SequenceGuard
from streambind.inbound.handling import own_statements
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.parked_back_off import ParkedBackOff
from streambind.inbound.parked_batch import ParkedBatch
from streambind.inbound.parked_queues import ParkedKey, ParkedMessage, ParkedQueues
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.reasons import told
from streambind.inbound.repeats import Repeats
from streambind.inbound.retry import Budget
from streambind.inbound.statistics import DeliveryStatistics
from streambind.persistence.stack_trace import logged_trace

_log = logging.getLogger(__name__)

_GAPS_SAID_EVERY_S = 600.0
"""Every later message of a key makes the worker look whether the missing one has come."""

_PASSED_OVER = {OnError.SKIP: "skipped", OnError.DLQ: "dead_lettered"}


class ParkedFate:
    """As `Delivery` decides of messages where they are, but for `consumer.on-error`: what is parked is parked. An
    exception that `consumer.on-error-of` has skipped or dead-lettered is, once `budget` allows no further try."""

    def __init__(
        self,
        binding: str,
        queues: ParkedQueues,
        *,
        positions: DatabasePositions,
        guard: SequenceGuard | None,
        back_off: ParkedBackOff,
        budget: Budget,
        policy: ErrorPolicy,
        mass_failure: MassFailure,
        dead_letters: DeadLetters | None,
        statistics: DeliveryStatistics,
    ) -> None:
        self._binding = binding
        self._queues = queues
        self._positions = positions
        self._guard = guard
        self._back_off = back_off
        self._budget = budget
        self._policy = policy
        self._mass_failure = mass_failure
        self._dead_letters = dead_letters
        self._statistics = statistics
        self._gaps_said = Repeats(_GAPS_SAID_EVERY_S)

    def decide(self, connection: Connection, parked: ParkedKey, message: ParkedMessage, error: Exception) -> str:
        """Write down what becomes of the message, in the transaction that left no effects of it; returns the name
        of its count."""
        if isinstance(error, SequenceGapError):
            since_ms = parked.now_ms if parked.gap_ms is None else parked.gap_ms
            delay_ms = self._back_off.gap_ms(parked.now_ms - since_ms)
            self._queues.missing(connection, parked, error, since_ms=since_ms, delay_ms=delay_ms)
        elif isinstance(error, DeliveryError):
            delay_ms = None  # A fork is not mended by waiting.
            self._queues.failed(connection, parked, error, delay_ms=None, counts=True)
        elif (fate := self._fate(parked, error)) is not None:
            self._pass_over(connection, parked, message, error, fate)
            return _PASSED_OVER[fate]
        else:
            excused_ms = self._mass_failure.excused_ms(parked.key, error)
            if excused_ms is None:
                delay_ms = self._back_off.retry_ms(parked.attempts)
            else:
                delay_ms = self._back_off.pause_ms(parked.attempts, excused_ms=excused_ms)
            self._queues.failed(connection, parked, error, delay_ms=delay_ms, counts=excused_ms is None)
        self._tell(parked, message, error, delay_ms)
        return "dead" if delay_ms is None else "retried"

    def _fate(self, parked: ParkedKey, error: Exception) -> OnError | None:
        fate = self._policy.named(error)
        if fate not in _PASSED_OVER or self._budget.allows_another(parked.attempts, error):
            return None
        return fate

    def _pass_over(
        self, connection: Connection, parked: ParkedKey, message: ParkedMessage, error: Exception, fate: OnError
    ) -> None:
        batch, head = ParkedBatch(message), self._queues.first(connection, parked)
        with own_statements():
            if self._guard is not None:
                lane = Lane(batch.destination, batch.partition)
                found = self._guard.examine(
                    connection, batch, (0,), past=lambda: self._positions.past(connection, lane), passing_over=True
                )
                self._guard.record(connection, batch.destination, found, passed_over=True)
            if fate is OnError.DLQ and self._dead_letters is not None:
                cause, letters = Failure(error, parked.attempts, parked.since_ms), self._dead_letters
                letter = dead_letter(original(batch, 0), cause, form=letters.format, group=letters.group)
                letters.write(connection, letter)
        behind_gap = head is not None and head.id != message.id
        if not self._queues.done(connection, parked, message, behind_gap=behind_gap):
            raise Overtaken("it was handled by somebody else")
        text = self._failed(message, error)
        _log.error("%s; consumer.on-error-of: %s%s", text, fate, logged_trace(error))

    def _tell(self, parked: ParkedKey, message: ParkedMessage, error: Exception, delay_ms: int | None) -> None:
        text = self._failed(message, error)
        is_gap = isinstance(error, SequenceGapError)
        if is_gap and self._gaps_said.has(parked.destination, parked.key, delay_ms is None):
            return
        if delay_ms is None:
            _log.error("%s; its key is dead, later messages of it wait%s", text, logged_trace(error))
        else:
            _log.warning("%s; again in %s ms", text, delay_ms)

    def _failed(self, message: ParkedMessage, error: Exception) -> str:
        place = f"{message.destination}[{message.partition}]@{message.offset}"
        text = f"{self._binding}: {place} (parked) failed: {told(error)}"
        self._statistics.failed(text)
        return text
