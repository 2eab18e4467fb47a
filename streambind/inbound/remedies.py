"""What to do about messages that may not be passed over."""

from __future__ import annotations

from streambind.errors import (
    DeliveryError,
    ParkingLimitError,
    SequenceForkError,
    SequenceGapError,
    UnfinishedBatchError,
)
from streambind.message import Batch

_REMEDIES: dict[type[DeliveryError], str] = {
    SequenceGapError: (
        "If the missing event stands in another partition, start the binding again when that is further, or set "
        "consumer.on-error: park, which waits for it; if it is lost, consumer.sequence: ignore goes on without "
        "looking at numbers"
    ),
    SequenceForkError: (
        "If its source was restored: streambind outbox new-epoch TARGET there, then streambind positions reset "
        "TARGET {binding} --to {after} --partition {partition} here; streambind verify shows what is missing"
    ),
    UnfinishedBatchError: (
        "Mend the handler, look which effects are there, then move the position behind them: streambind positions "
        "reset TARGET {binding} --to OFFSET --partition {partition}"
    ),
    ParkingLimitError: (
        "Mend what the parked keys fail for and let them drain, or raise consumer.parking.max-keys or "
        "max-messages-per-key; then start the binding again"
    ),
}


def remedy_for(error: DeliveryError, binding: str, batch: Batch, index: int) -> str:
    """A sentence for people about the message at `index`."""
    text = _REMEDIES.get(type(error), "It may not be passed over")
    return text.format(binding=binding, after=batch.offset(index) + 1, partition=batch.partition)


def when_deleted(binding: str, batch: Batch) -> str:
    """What to do about a position that somebody deleted."""
    command = f"streambind positions reset TARGET {binding} --to {batch.position} --partition {batch.partition}"
    return f"to go on here: {command}; or start the binding again to begin as a new group does"
