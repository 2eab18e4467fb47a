"""What becomes of outbox rows once the broker has answered (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from streambind.binding.key_order import KeyOrder
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import DestinationError
from streambind.outbound.wire_message import OutboxRow
from streambind.persistence.failures import describe


class Blocked(NamedTuple):
    """A row that can never be sent; later rows of its key wait behind it."""

    row: OutboxRow
    reason: str


@dataclass(frozen=True, slots=True)
class RelayOutcome:
    """`delivered` may be deleted; `blocked` stay until somebody mends the cause; everything else is sent again.
    `trouble` says why, None if nothing is. `tenures` are those in which it was sent, by shard: in another one it
    means nothing."""

    delivered: tuple[OutboxRow, ...]
    blocked: tuple[Blocked, ...]
    trouble: str | None
    tenures: Mapping[int, int] = field(default_factory=dict)

    def within(self, tenures: Mapping[int, int]) -> RelayOutcome:
        """What of it still counts while the shards are held in these tenures."""

        if tenures == self.tenures:
            return self

        def counts(row: OutboxRow) -> bool:
            return tenures.get(row.shard) == self.tenures.get(row.shard)

        delivered = tuple(row for row in self.delivered if counts(row))
        return replace(self, delivered=delivered, blocked=tuple(b for b in self.blocked if counts(b.row)))


def decide(
    rows: Sequence[OutboxRow],
    results: Sequence[Sent | Failed | Unknown],
    tenures: Mapping[int, int] | None = None,
) -> RelayOutcome:
    """A row is delivered if it was sent and no earlier row of its key failed: deleting one behind a failed one
    would make the failed one, sent again, come last. A row is blocked if it failed for good and no earlier row
    of its key is to be sent again. A destination that refuses everything is no fault of a row: what it refuses
    is sent again. Rows without a key have no order."""
    if set(map(type, results)) == {Sent}:
        return RelayOutcome(tuple(rows), (), None, tenures or {})
    delivered: list[OutboxRow] = []
    blocked: list[Blocked] = []
    order = KeyOrder()
    trouble: str | None = None
    for row, result in zip(rows, results, strict=True):
        if order.holds_back(row.key):
            continue
        if isinstance(result, Sent):
            delivered.append(row)
            continue
        order.stop(row.key)
        if isinstance(result, Failed) and result.permanent and not isinstance(result.error, DestinationError):
            blocked.append(Blocked(row, describe(result.error)))
        elif trouble is None:
            trouble = describe(result.error) if isinstance(result, Failed) else result.reason
    return RelayOutcome(tuple(delivered), tuple(blocked), trouble, tenures or {})
