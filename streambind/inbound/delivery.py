"""What becomes of a batch: the one place that decides between done, again, parked, dead letter, passed over and
stop.

How effects come about and are kept is behind `Effects`: with positions in a database (`delivery_positions`),
or with the broker's own offsets (`delivery_broker`).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Collection
from dataclasses import dataclass

from streambind.binding.binder import Lane
from streambind.binding.outcome import Apart, Continue, Outcome, RetryAfter, Seek, Stop
from streambind.configuration.properties import OnError
from streambind.errors import DeliveryError, PositionLostError, SequenceGapError
from streambind.failpoints import failpoint
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.dead_letter import DeadLetters, Failure, dead_letter, original
from streambind.inbound.effects import Effects, Parking
from streambind.inbound.error_policy import ErrorPolicy
from streambind.inbound.failure import Fenced, LetterRefused, MessageFailed, Overtaken, Trouble, Unattributed
from streambind.inbound.nobodys_fault import is_defect
from streambind.inbound.reasons import told
from streambind.inbound.remedies import remedy_for, when_deleted
from streambind.inbound.retry import TROUBLE_MAX_MS, Budget, trouble_delay_ms
from streambind.inbound.statistics import DeliveryStatistics
from streambind.inbound.together import Together
from streambind.joint_batch import parts_of, place_of
from streambind.message import Batch, Message
from streambind.persistence.stack_trace import logged_trace

_log = logging.getLogger(__name__)

_NO_LETTER = "raise max.message.bytes of the dead-letter topic, or set consumer.on-error: skip; then start again"
_HELD = (
    "so many keys fail that nothing more is parked (consumer.parking.mass-failure-*): mend the cause; until then "
    "the message is tried again"
)


@dataclass(slots=True)
class _Failing:
    """The message that holds up a lane, and since when. Once it is given up, for an error, it waits for no more
    than its `fate`: to be parked or passed over, with its `letter` if there is to be one."""

    offset: int
    first_ms: int
    tries: int = 0
    given_up: Exception | None = None
    fate: OnError = OnError.STOP
    letter: Message | None = None


@dataclass(slots=True)
class _LaneState:
    """`troubles`: how many deliveries in a row met trouble; `last_trouble_s`: when, on the monotonic clock.
    `overtaken`: how many were, since the last that was not."""

    failing: _Failing | None = None
    overtaken: int = 0
    troubles: int = 0
    last_trouble_s: float = 0.0


class Delivery:
    """`Deliver` for one binding. Called from several threads, for one lane by one at a time; what it remembers
    of a lane is which message failed how often, in memory only. Lanes of which it remembers something are
    delivered each by itself."""

    def __init__(
        self,
        binding: str,
        effects: Effects,
        *,
        budget: Budget,
        policy: ErrorPolicy,
        dead_letters: DeadLetters | None,
        parking: Parking | None,
        statistics: DeliveryStatistics,
        commit_times: CommitTimes | None = None,
    ) -> None:
        self._binding = binding
        self._effects = effects
        self._budget = budget
        self._policy = policy
        self._dead_letters = dead_letters
        self._parking = parking
        self._statistics = statistics
        self._commit_times = commit_times or CommitTimes()
        self._lanes: dict[Lane, _LaneState] = {}
        self._together = Together(binding, effects)

    def deliver(self, batch: Batch) -> Outcome:
        """As `binding.binder.Deliver` says. Never sleeps."""
        failpoint("delivery.after_poll")
        parts = {Lane(batch.destination, part.partition): part for part in parts_of(batch)}
        for lane, part in parts.items():
            self._commit_times.begins(lane, part)
        with self._statistics.delivering(*parts):
            outcome = self._joint(batch, parts) if len(parts) > 1 else self._delivered(batch, next(iter(parts)))
        for lane, part in parts.items():
            self._commit_times.ends(lane, part, min(outcome.done, len(part)))
        self._statistics.count(handled=outcome.done)
        return outcome

    def _joint(self, batch: Batch, lanes: Collection[Lane]) -> Outcome:
        if any(lane in self._lanes for lane in lanes) or not self._together.apply(batch):
            return Outcome(0, Apart())
        if not self._is_in_trouble():
            self._statistics.recovered()
        return Outcome(len(batch))

    def _delivered(self, batch: Batch, lane: Lane) -> Outcome:
        state = self._lanes.get(lane) or _LaneState()
        try:
            outcome = self._attempt(batch, state)
        except Overtaken as again:
            outcome = self._overtaken(again, state)
        except Fenced:
            outcome = self._fenced(batch, lane, state)
        except Trouble as trouble:
            outcome = self._trouble(trouble, state)
        else:
            state.troubles = state.overtaken = 0
            if not self._is_in_trouble():
                self._statistics.recovered()
        if state.failing is None and state.troubles == state.overtaken == 0:
            self._lanes.pop(lane, None)
        else:
            self._lanes[lane] = state
        return outcome

    def _attempt(self, batch: Batch, state: _LaneState) -> Outcome:
        failing = state.failing
        if failing is not None and failing.offset != batch.offset(0):
            failing = state.failing = None
        if failing is not None and failing.given_up is not None:
            return self._pass_over(batch, 0, failing.given_up, state)
        # A message that has failed is tried alone: those behind it shall not run once per try.
        count = len(batch) if failing is None else 1
        done, failure = self._apply(batch, count, singly=failing is not None)
        if failure is not None:
            return self._decide(batch, failure, state)
        state.failing = None
        return Outcome(done)

    def _apply(self, batch: Batch, count: int, *, singly: bool) -> tuple[int, MessageFailed | None]:
        """Apply what can be of the first `count` messages: how many are done, and the failure of the next, if it
        is known that it fails."""
        failure: MessageFailed | None = None
        while count > 0:
            try:
                done = self._effects.apply(batch, count, singly=singly)
                return done, failure if done == count else None
            except MessageFailed as failed:
                failure = failed
                count = failed.index
                if failed.done == failed.index:
                    break
            except Unattributed as refused:
                if singly and count == 1:
                    return 0, MessageFailed(0, refused.error)
                # Singly, yet unattributed: the commit was refused although each message went well. Halves of
                # the batch, in this delivery and the next ones, lead to the message that it is refused for.
                count = count // 2 if singly else count
                failure = None
                singly = True
        return count, failure

    def _decide(self, batch: Batch, failure: MessageFailed, state: _LaneState) -> Outcome:
        """All before the failed message are done: what becomes of it?"""
        index, error = failure.index, failure.error
        offset = batch.offset(index)
        failing = state.failing
        if failing is None or failing.offset != offset:
            failing = _Failing(offset, time.time_ns() // 1_000_000)
        failing.tries += 1
        text = f"{self._place(batch, index)} failed: {told(error)}"
        self._statistics.failed(text)
        failing.fate = self._policy.of(error)
        is_gap = failing.fate is OnError.PARK and isinstance(error, SequenceGapError)
        if isinstance(error, DeliveryError) and not is_gap:
            return self._stop(index, error, f"{text}. {remedy_for(error, self._binding, batch, index)}", state)
        state.failing = failing
        if not is_gap and (again := self._another_try(batch, index, failing, error)) is not None:
            delay, why = again
            self._statistics.count(retried=1)
            _log.warning("%s; %s in %s ms", text, why, delay)
            return Outcome(index, RetryAfter(delay, f"{text}; {why}" if why is _HELD else text))
        tried = self._budget.tried(failing.tries, error)
        if failing.fate is OnError.STOP:
            remedy = "mend the cause and start the binding again, or set consumer.on-error to dlq or skip"
            return self._stop(index, error, f"{text} ({tried}); {remedy}", state)
        if is_gap:
            _log.warning("%s; its key is parked until the missing one comes", text)
        else:  # Not exc_info: errors and their causes may quote row data.
            _log.error("%s (%s); consumer.on-error: %s%s", text, tried, failing.fate, logged_trace(error))
        letters = self._dead_letters
        if failing.fate is OnError.DLQ and letters is not None:
            cause = Failure(error, failing.tries, failing.first_ms)
            failing.letter = dead_letter(original(batch, index), cause, form=letters.format, group=letters.group)
        return self._pass_over(batch, index, error, state)

    def _another_try(
        self, batch: Batch, index: int, failing: _Failing, error: Exception
    ) -> tuple[int, str] | None:
        """After how many ms the message is tried again where it is, and why; None if it is not."""
        delay = self._budget.delay_ms(failing.tries)
        if self._budget.allows_another(failing.tries, error):
            return delay, f"try {failing.tries + 1} of {self._budget.max_attempts}"
        parking = self._parking if failing.fate is OnError.PARK else None
        if parking is not None and parking.count_failure(batch, index, error):
            return delay, _HELD
        return None

    def _pass_over(self, batch: Batch, index: int, error: Exception, state: _LaneState) -> Outcome:
        """Park the message; or move past it, with its dead letter if there is to be one."""
        failing = state.failing
        assert failing is not None
        failing.given_up = error
        try:
            if failing.fate is OnError.PARK and self._parking is not None:
                self._parking.park(batch, index, error)
            else:
                self._effects.pass_over(batch, index, failing.letter)
        except LetterRefused as refused:
            text = f"{self._place(batch, index)}: its dead letter can never be sent: {told(refused.error)}"
            self._statistics.failed(text)
            return self._stop(index, refused.error, f"{text}; {_NO_LETTER}", state)
        except (Trouble, Overtaken) as ended:
            ended.done = index  # Those before it are done already.
            raise
        except MessageFailed as failed:
            # Too much is parked; or another owner of its key has applied another event of that number.
            return self._decide(batch, MessageFailed(index, failed.error), state)
        state.failing = None
        outcomes = {OnError.PARK: "parked", OnError.DLQ: "dead_lettered", OnError.SKIP: "skipped"}
        self._statistics.count(**{outcomes[failing.fate]: 1})
        return Outcome(index + 1, Continue())

    def _stop(self, index: int, error: Exception, text: str, state: _LaneState) -> Outcome:
        state.failing = None  # Whoever starts the binding again means a fresh try.
        _log.error("%s%s", text, logged_trace(error))
        kind = type(error) if isinstance(error, DeliveryError) else DeliveryError
        stopped = kind(text)
        stopped.__cause__ = error
        return Outcome(index, Stop(stopped))

    def _fenced(self, batch: Batch, lane: Lane, state: _LaneState) -> Outcome:
        self._statistics.count(fenced=1)
        try:
            stored = self._effects.stored(lane)
        except Trouble as trouble:
            return self._trouble(trouble, state)
        state.failing, state.troubles = None, 0
        if stored is not None:
            _log.info(
                "%s moved from %s to %s by another owner, or by hand", self._place(batch), batch.position, stored
            )
            return Outcome(0, Seek(stored))
        remedy = when_deleted(self._binding, batch)
        text = f"{self._place(batch)}: its position is no longer in the database; {remedy}"
        _log.error("%s", text)
        self._statistics.failed(text)
        return Outcome(0, Stop(PositionLostError(text)))

    def _overtaken(self, again: Overtaken, state: _LaneState) -> Outcome:
        """Once it is a race, which is over now; again and again, something is in the way."""
        state.overtaken += 1
        if state.overtaken == 1:
            return Outcome(again.done, Continue())
        return self._trouble(Trouble(again, again.done), state)

    def _trouble(self, trouble: Trouble, state: _LaneState) -> Outcome:
        state.troubles += 1
        state.last_trouble_s = time.monotonic()
        delay = trouble_delay_ms(state.troubles, random.random())
        text = f"{self._binding}: {told(trouble.error)}"
        self._statistics.degraded(text)
        trace = logged_trace(trouble.error) if is_defect(trouble.error) else ""
        _log.warning("%s; again in %s ms (%s times now)%s", text, delay, state.troubles, trace)
        return Outcome(trouble.done, RetryAfter(delay, text))

    def _is_in_trouble(self) -> bool:
        """Whether another lane waits for its trouble to end. One that was given away does so no longer."""
        limit = time.monotonic() - 2 * TROUBLE_MAX_MS / 1000
        return any(state.troubles and state.last_trouble_s > limit for state in list(self._lanes.values()))

    def _place(self, batch: Batch, index: int | None = None) -> str:
        partition = f"{batch.destination}[{batch.partition}]"
        return f"{self._binding}: {partition if index is None else place_of(batch, index)}"
