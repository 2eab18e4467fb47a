"""What an input knows of the times at which its messages were committed, for freshness."""

from __future__ import annotations

from dataclasses import dataclass

from streambind.binding.binder import Lane
from streambind.errors import PermanentError
from streambind.freshness import committed_ms
from streambind.message import Batch, boundary


@dataclass(frozen=True, slots=True)
class _InHand:
    """A batch of which messages from `index` on are not done, `position` being before them."""

    batch: Batch
    index: int
    position: int


@dataclass(frozen=True, slots=True)
class _Done:
    """All that came before `position` is done; when the last of it was committed."""

    position: int
    committed_ms: int | None


class CommitTimes:
    """Of each lane: when the first message to do was committed; or, where it has not come yet, the one before it,
    which is earlier.

    Written by the delivery of a lane, one at a time, read by any thread. Of a batch that goes well one message is
    looked at, the last.
    """

    def __init__(self) -> None:
        self._known: dict[Lane, _InHand | _Done] = {}

    def begins(self, lane: Lane, batch: Batch) -> None:
        """The batch is being delivered."""
        self._known[lane] = _InHand(batch, 0, batch.position)

    def ends(self, lane: Lane, batch: Batch, done: int) -> None:
        """The first `done` messages are done."""
        position = boundary(batch, done)
        if done < len(batch):
            self._known[lane] = _InHand(batch, done, position)
        else:
            self._known[lane] = _Done(position, _of(batch, done - 1))

    def at(self, lane: Lane, position: int) -> int | None:
        """Milliseconds since the epoch, by the source's clock; None: unknown, as it is where another instance has
        gone on."""
        match self._known.get(lane):
            case _InHand(batch, index, before) if before == position:
                return _of(batch, index)
            case _Done(before, at) if before == position:
                return at
        return None


def _of(batch: Batch, index: int) -> int | None:
    try:
        return committed_ms(batch.raw_headers(index))
    except PermanentError:
        return None  # They cannot be read.
