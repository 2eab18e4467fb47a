"""The rules of numbers: which event of a key follows which (pure)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from streambind.errors import SequenceForkError, SequenceGapError


class Applied(NamedTuple):
    """The last event of a key that was applied. `event_id` is a UUID's text: of most events nobody asks for it."""

    epoch: int
    seq: int
    event_id: str | None


class Chain(NamedTuple):
    """Whose numbers they are: one key's, from one source."""

    source_id: str
    key: bytes


class Before(Protocol):
    """What is known of a chain beside its last event; asked only where that decides."""

    def may_begin_within(self) -> bool:
        """Whether the group may not have seen the chain's first events, or the log no longer has them."""
        ...

    def may_leave_out(self) -> bool:
        """Whether the group was moved past messages since the chain's last event, or the log leaves some out."""
        ...

    def was_moved(self) -> bool:
        """Whether the group was moved past messages since the chain's last event."""
        ...

    def latest_epoch(self, enough: int) -> int:
        """The highest epoch that any key of the source has had here, 0 if none came from it; or a lower one that
        is `enough`."""
        ...


def follows(last: Applied | None, event: Applied, before: Before) -> bool:
    """Whether to apply the event (True), or to pass it over as a duplicate (False).

    - The first event of a key is number 1, or any number if the group may have begun within the log, or the log is
      compacted. It may be of any epoch if it is its source's first one too.
    - A number up to the last one is a duplicate, the next one follows. A later one follows too if the group was
      moved past messages since, or the log is compacted.
    - A lower epoch is a history that a restore of the source has undone: a duplicate.
    - With a higher epoch the source's numbers have gone back to where its restored database stood, which is not
      known here: any number up to the one after the last begins the new history. Only up to the epoch after the
      latest, also where the log is compacted, unless the group was moved past messages since: one that anyone
      made up would have all later events passed over.

    Raises:
        SequenceGapError: a predecessor has not been applied.
        SequenceForkError: the last number came again with another event id, or an epoch was left out.
    """
    if last is None:
        _refuse_made_up(event, before, may_be_first=True)
        if event.seq == 1 or before.may_begin_within():
            return True
        raise SequenceGapError(
            f"number {event.seq} is the first of its key to come, but number 1 was never applied"
        )
    if event.epoch < last.epoch:
        return False
    if event.epoch > last.epoch + 1:
        _refuse_made_up(event, before, may_be_first=False)
    if event.seq > last.seq + 1 and not before.may_leave_out():
        raise SequenceGapError(f"number {event.seq} of its key came after number {last.seq}")
    if event.epoch > last.epoch or event.seq > last.seq:
        return True
    if event.seq == last.seq and is_other(last, event):
        raise SequenceForkError(
            f"number {event.seq} of its key came with event id {event.event_id}, was applied with "
            f"{last.event_id}: the source's history has two versions; after a restore raise its epoch"
        )
    return False


def is_other(last: Applied, event: Applied) -> bool:
    """Whether two events that have the same number are known not to be one and the same."""
    return None not in (event.event_id, last.event_id) and event.event_id != last.event_id


def _refuse_made_up(event: Applied, before: Before, *, may_be_first: bool) -> None:
    if event.epoch == 1:
        return
    latest = before.latest_epoch(event.epoch - 1)
    if event.epoch > latest + 1 and not (may_be_first and latest == 0) and not before.was_moved():
        raise SequenceForkError(
            f"epoch {event.epoch} of its source came, the last one known is {latest}: only the next follows"
        )
