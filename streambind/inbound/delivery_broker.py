"""Effects without a database of ours: at least once, the broker's own offsets say what is done."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.binding.binder import Lane
from streambind.errors import BrokerError, LifecycleError, SendError, StreambindError
from streambind.failpoints import failpoint
from streambind.inbound.dead_letter import DeadLetters, is_refusal
from streambind.inbound.dispatcher import Dispatcher, Progress
from streambind.inbound.failure import AttemptEnded, LetterRefused, MessageFailed, Trouble, Unattributed
from streambind.inbound.nobodys_fault import is_nobodys_fault
from streambind.inbound.replies import Replies, Reply
from streambind.joint_batch import place_of
from streambind.message import Batch, Message
from streambind.persistence.failures import describe


class BrokerEffects:
    """Handlers run one after the other; each that returns is done. Replies of a batch are sent together, and
    the messages that they answer are done when the broker has confirmed all of them."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        replies: Replies | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._replies = replies
        self._dead_letters = dead_letters

    def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
        run_all = self._dispatcher.run_all
        progress = Progress()
        is_batch = self._dispatcher.is_batch
        if run_all is not None and count == len(batch) and not (singly and is_batch):
            try:
                if run_all(batch, progress):
                    return count
            except Exception as error:
                raise _blamed(error, range(count) if is_batch else [progress.done], progress.done) from error
        unmatched: list[int] = []
        done = progress.done
        try:
            self._apply_units(batch, range(done, count), unmatched, singly=singly)
            done = count
        except AttemptEnded as ended:
            done = ended.done
            raise
        finally:
            self._dispatcher.done_unmatched(batch, [index for index in unmatched if index < done])
        return count

    def pass_over(self, batch: Batch, index: int, letter: Message | None) -> None:
        """Send the dead letter; the outcome tells the broker."""
        if letter is None or self._dead_letters is None:
            return
        try:
            self._dead_letters.send(letter)
        except StreambindError as error:
            if is_refusal(error):
                raise LetterRefused(error) from error
            text = f"{place_of(batch, index)}: its dead letter cannot be sent: {describe(error)}"
            raise Trouble(SendError(text), index) from error

    def stored(self, lane: Lane) -> int | None:
        """The broker keeps it."""
        return None

    def _apply_units(self, batch: Batch, indexes: range, unmatched: list[int], *, singly: bool) -> None:
        pending: list[Reply] = []
        done = indexes.start
        for unit in self._dispatcher.units(indexes, singly=singly):
            try:
                pending += self._dispatcher.handle(batch, unit, None, unmatched)
            except MessageFailed as failed:
                raise self._ended(pending, MessageFailed(failed.index, failed.error, done)) from failed.error
            except Exception as error:
                raise self._ended(pending, _blamed(error, unit, done)) from error
            if unit[0] == 0:
                failpoint("delivery.in_handler")
            if singly:
                self._send_singly(pending, unit, done)
            done = unit[-1] + 1
        self._send(pending)

    def _ended(self, pending: list[Reply], ended: AttemptEnded) -> AttemptEnded:
        """The attempt's end, once the replies of the messages before it are out."""
        self._send(pending)
        return ended

    def _send(self, pending: list[Reply]) -> None:
        """Nothing is done before its replies are confirmed, and which of them was refused is not known."""
        if not pending or self._replies is None:
            return
        try:
            self._replies.send(pending)
        except Exception as error:
            raise _not_sent(error) or Unattributed(error) from error
        pending.clear()

    def _send_singly(self, pending: list[Reply], unit: Sequence[int], done: int) -> None:
        if not pending or self._replies is None:
            return
        try:
            self._replies.send(pending)
        except Exception as error:
            raise _not_sent(error, done) or MessageFailed(unit[0], error, done) from error
        pending.clear()


def _blamed(error: Exception, unit: Sequence[int], done: int) -> AttemptEnded:
    if is_nobodys_fault(error):
        return Trouble(error, done)
    return MessageFailed(unit[0], error, done) if len(unit) == 1 else Unattributed(error, done)


def _not_sent(error: Exception, done: int = 0) -> Trouble | None:
    """A reply that the broker may take later is no message's fault; one that has no bytes is."""
    if isinstance(error, SendError | BrokerError):
        return None if error.permanent else Trouble(error, done)
    return Trouble(error, done) if isinstance(error, LifecycleError) else None
