"""How far a binding is in one lane, and what an outcome makes of it (no threads, no clock of its own)."""

from __future__ import annotations

from dataclasses import dataclass

from streambind.binders.memory.log import MemoryBatch
from streambind.binding.binder import Identity, Lane, PartitionState
from streambind.binding.outcome import Continue, Outcome, RetryAfter, Seek, Stop
from streambind.message import boundary

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0


@dataclass(slots=True)
class Progress:
    """One assigned lane. `position` is the next offset to be done, None until it is known where to start, and
    `identity` that of the destination which it belongs to; `revoked`: another member waits for the lane; `lost`:
    the position was no longer in the log."""

    lane: Lane
    position: int | None = None
    identity: Identity | None = None
    reported: int | None = None
    rest: MemoryBatch | None = None
    revoked: bool = False
    lost: bool = False
    ready_at_s: float = 0.0
    tries: int = 0
    stalled: str | None = None
    retrying: str | None = None

    def state(self) -> PartitionState:
        return PartitionState(self.lane, self.position, self.stalled, self.retrying)

    def is_ready(self, now_s: float) -> bool:
        """Whether a worker may take it; there may still be nothing to deliver."""
        return not self.revoked and self.stalled is None and self.ready_at_s <= now_s

    def start_at(self, position: int, *, report: bool) -> None:
        """`report`: the group must remember it, for another start would lead elsewhere."""
        self.position = position
        self.reported = None if report else position
        self.tries = 0
        self.lost = False
        self.retrying = None

    def start_later(self, reason: str, now_s: float) -> None:
        """Where to start could not be found out; the pauses grow."""
        self.ready_at_s = now_s + min(_FIRST_PAUSE_S * 2**self.tries, _LONGEST_PAUSE_S)
        self.tries = min(self.tries + 1, 20)
        self.retrying = reason

    def stall(self, reason: str) -> None:
        self.stalled = reason
        self.retrying = None
        self.rest = None

    def settle(self, batch: MemoryBatch, outcome: Outcome, now_s: float) -> None:
        """Carry out what the core decided.

        Raises:
            ValueError: the outcome does not fit the batch.
        """
        if not 0 <= outcome.done <= len(batch):
            raise ValueError(f"{outcome.done} of {len(batch)} messages cannot be done")
        self.position = boundary(batch, outcome.done)
        self.rest = batch.after(outcome.done)
        self.retrying = None
        match outcome.then:
            case RetryAfter(delay_ms, reason) if self.rest is not None:
                self.ready_at_s = now_s + delay_ms / 1000
                self.retrying = reason or "delivered again later"
            case Seek(offset):
                self.rest = None
                self.position = offset
            case Continue() | RetryAfter() | Stop():  # what stops is the caller's to stall: it tells the error
                pass


def describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
