"""Handles parked messages again, one per transaction, in the order of their key."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from streambind.binding.binder import Lane
from streambind.errors import SequenceGapError, UnfinishedBatchError
from streambind.failpoints import failpoint
from streambind.inbound.failure import MessageFailed, Overtaken, Trouble, Unattributed
from streambind.inbound.guard import Examination, SequenceGuard
from streambind.inbound.handling import Handling, own_statements
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.nobodys_fault import is_defect
from streambind.inbound.parked_back_off import ParkedBackOff
from streambind.inbound.parked_batch import ParkedBatch
from streambind.inbound.parked_fate import ParkedFate
from streambind.inbound.parked_queues import ParkedKey, ParkedMessage, ParkedQueues, Queue
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.reasons import told
from streambind.inbound.statistics import DeliveryStatistics
from streambind.persistence.database import Database
from streambind.persistence.failures import is_database_trouble
from streambind.persistence.stack_trace import logged_trace

_log = logging.getLogger(__name__)

_POSTPONED_MS = 5_000
"""After which a key is looked at again whose message met trouble."""

_RUN = 50
"""Messages of one key that are handled one after the other before other keys have a turn."""

_UNENDED = "no try of it is left, and nothing was heard of the last one: the process ended in it"


@dataclass(slots=True)
class _Attempt:
    """The try of a queue's next message. `follows`: the one before it was handled just now, and that this try
    begins is not committed yet. `is_over`: only its commit was left to be done. `counts` and `frees`, that nothing
    of the key waits any longer, hold once it is."""

    queue: Queue
    follows: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    message: ParkedMessage | None = None
    is_over: bool = False
    frees: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """`claimed`: a key was due. Else `due_in_ms` tells when the next one is: negative if other workers hold it,
    None if there is none."""

    claimed: bool
    due_in_ms: int | None = None


class ParkedRetry:
    """The next message of one due key at a time, by the same guard, handlers, session and replies as in delivery.

    The key's row stays locked meanwhile, so that of any number of workers one handles it, and whoever lets more
    messages wait behind it waits for one handler at most. Effects, the end of the message's wait and, after the
    last one, of its key's come about together or not at all; so does a failure's count, without the effects.

    That a try begins is committed before it does: a message that ends the process uses up its tries too, with
    pauses, and meanwhile all others go on. Of those that follow one that was handled it is not: should one of them
    end the process, it is the next one of its key, and its next try is committed.
    """

    def __init__(
        self,
        binding: str,
        handling: Handling,
        database: Database,
        *,
        queues: ParkedQueues,
        positions: DatabasePositions,
        guard: SequenceGuard | None,
        back_off: ParkedBackOff,
        fate: ParkedFate,
        mass_failure: MassFailure,
        statistics: DeliveryStatistics,
        on_commit: Callable[[], None],
    ) -> None:
        self._binding = binding
        self._handling = handling
        self._database = database
        self._queues = queues
        self._positions = positions
        self._guard = guard
        self._back_off = back_off
        self._fate = fate
        self._mass_failure = mass_failure
        self._unsettled: Queue | None = None
        self._overtaken: Queue | None = None
        self._following: Queue | None = None
        self._followed = 0
        self._statistics = statistics
        self._on_commit = on_commit

    def turn(self) -> Turn:
        """Try one message of one key, if one is due. Called by one thread.

        Raises:
            Exception: the database is in the way. Nothing has changed but that a try may have been counted, which
                the next turn takes back.
        """
        if self._unsettled is not None:
            self._postpone(self._unsettled)
        attempt = self._follower()
        if attempt is None:
            parked, due_in_ms = self._database.run(self._begin)
            if parked is None:
                return Turn(claimed=False, due_in_ms=due_in_ms)
            failpoint("parking.after_begin")
            attempt = _Attempt(parked.queue)
        try:
            with self._statistics.delivering(None):
                self._database.run(lambda connection: self._next(connection, attempt))
        except Exception as error:  # noqa: BLE001 - whatever is in the way of one key, others go on
            self._ended(attempt, error)
        else:
            self._overtaken = None
        failpoint("parking.after_retry")
        self._statistics.count(**attempt.counts)
        if attempt.counts["drained"]:
            self._mass_failure.drained()
            self._following = None if attempt.frees else attempt.queue
            self._tell_freed(attempt)
        self._on_commit()
        return Turn(claimed=True)

    def _follower(self) -> _Attempt | None:
        """The next message of the key of which one was handled just now."""
        queue, self._following = self._following, None
        self._followed = 0 if queue is None else self._followed + 1
        return None if queue is None or self._followed % _RUN == 0 else _Attempt(queue, follows=True)

    def _tell_freed(self, attempt: _Attempt) -> None:
        message = attempt.message
        if attempt.frees and message is not None:
            place = f"{message.destination}[{message.partition}]@{message.offset}"
            _log.info("%s: %s (parked) is handled; its key is parked no longer", self._binding, place)

    def _begin(self, connection: Connection) -> tuple[ParkedKey | None, int | None]:
        self._database.dialect.limit_waits(connection, self._database.transaction_timeout_ms)
        parked = self._queues.claim(connection)
        if parked is None:
            return None, self._queues.due_in_ms(connection)
        failpoint("parking.after_claim")
        self._queues.begin(connection, parked, delay_ms=self._back_off.pause_ms(parked.attempts + 1))
        return parked, None

    def _ended(self, attempt: _Attempt, error: Exception) -> None:
        """The transaction did not come about, although the key could be claimed."""
        attempt.counts.clear()
        if attempt.is_over and isinstance(error, DBAPIError) and not is_database_trouble(error):
            # Refused at the commit: a deferred constraint, of this message.
            refusal = error
            self._database.run(lambda connection: self._refused(connection, attempt, refusal))
            return
        self._unsettled = attempt.queue
        if isinstance(error, Overtaken) and self._overtaken != attempt.queue:
            # Once it is a race: what another owner was the first to write can be read now.
            self._overtaken = attempt.queue
            self._postpone(attempt.queue, delay_ms=0)
            return
        if isinstance(error, Trouble):
            error = error.error
        text = f"{self._binding}: a parked message of {attempt.queue[0]} waits: {told(error)}"
        self._statistics.failed(text)
        _log.warning("%s; again in %s ms%s", text, _POSTPONED_MS, logged_trace(error) if is_defect(error) else "")
        self._postpone(attempt.queue)

    def _postpone(self, queue: Queue, *, delay_ms: int = _POSTPONED_MS) -> None:
        """What is in the way of one key may not be in the way of others: they go on, unless it is the database."""

        def work(connection: Connection) -> None:
            parked = self._queues.claim_again(connection, queue, alive=True)
            if parked is not None:
                self._queues.postpone(connection, parked, delay_ms=delay_ms)

        self._database.run(work)
        self._unsettled = None

    def _next(self, connection: Connection, attempt: _Attempt) -> None:
        self._database.dialect.limit_waits(connection, self._database.transaction_timeout_ms)
        parked = self._claimed(connection, attempt)
        if parked is None:
            return
        head = self._queues.first(connection, parked)
        if head is None:
            self._queues.forget(connection, parked)
            return
        self._queues.mark(connection, parked)
        message, error = self._try_next(connection, parked, head, attempt)
        attempt.message = message
        failpoint("parking.after_handler")
        if error is None:
            if not self._queues.done(connection, parked, message, behind_gap=message.id != head.id):
                raise Overtaken("it was handled by somebody else")
            attempt.counts["drained"] += 1
            attempt.frees = parked.messages <= 1
        else:
            attempt.counts[self._fate.decide(connection, parked, message, error)] += 1
        failpoint("parking.before_commit")
        attempt.is_over = error is None

    def _claimed(self, connection: Connection, attempt: _Attempt) -> ParkedKey | None:
        """The key, locked, its try begun; None if it is parked no longer, dead, or somebody else's meanwhile."""
        parked = self._queues.claim_again(connection, attempt.queue, alive=True)
        if parked is None or not attempt.follows:
            return parked
        if parked.attempts > 0:
            return None
        self._queues.begin(connection, parked, delay_ms=self._back_off.pause_ms(1))
        return parked._replace(attempts=1)

    def _try_next(
        self, connection: Connection, parked: ParkedKey, head: ParkedMessage, attempt: _Attempt
    ) -> tuple[ParkedMessage, Exception | None]:
        """Try the next message; while that of one source waits for its predecessor, that of another one."""
        if self._back_off.retry_ms(parked.attempts_before) is None:
            return head, UnfinishedBatchError(_UNENDED)
        gap: tuple[ParkedMessage, SequenceGapError] | None = None
        for message in self._queues.firsts(connection, parked, head):
            error = self._try(connection, ParkedBatch(message), attempt)
            if not isinstance(error, SequenceGapError):
                return message, error
            gap = gap or (message, error)
        assert gap is not None
        return gap

    def _try(self, connection: Connection, batch: ParkedBatch, attempt: _Attempt) -> Exception | None:
        """Make the message's effects, or leave none and tell why."""
        savepoint = connection.begin_nested()
        try:
            found = self._examine(connection, batch)
            if found.duplicates:
                attempt.counts["duplicates"] += 1
            else:
                handled = self._handling.run(connection, batch, (0,), singly=True)
                attempt.counts["duplicates"] += handled.repeated
                attempt.counts["unmatched"] += len(handled.unmatched)
            if self._guard is not None:
                with own_statements():
                    self._guard.record(connection, batch.destination, found)
        except (MessageFailed, Unattributed) as failed:
            savepoint.rollback()
            return failed.error
        # After trouble the savepoint may be gone, and the transaction with it: that is rolled back as a whole.
        savepoint.commit()
        return None

    def _examine(self, connection: Connection, batch: ParkedBatch) -> Examination:
        if self._guard is None:
            return Examination()
        lane = Lane(batch.destination, batch.partition)
        with own_statements():
            return self._guard.examine(
                connection,
                batch,
                (0,),
                past=lambda: self._positions.past(connection, lane),
            )

    def _refused(self, connection: Connection, attempt: _Attempt, error: DBAPIError) -> None:
        parked = self._claimed(connection, attempt)
        if parked is None or attempt.message is None:
            return
        if self._queues.first(connection, parked, among=[attempt.message.id]) is not None:
            attempt.counts[self._fate.decide(connection, parked, attempt.message, error)] += 1
