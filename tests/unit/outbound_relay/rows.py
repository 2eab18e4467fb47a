"""Outbox rows for tests."""

from __future__ import annotations

import itertools
from uuid import UUID

from streambind.outbound.wire_message import OutboxRow

_ids = itertools.count(1)


def row(
    key: bytes | None = b"7",
    seq: int | None = 1,
    *,
    destination: str = "lectures",
    shard: int = 0,
    payload: bytes | None = b"{}",
    headers: str = "[]",
) -> OutboxRow:
    """A row with the next id of the test session."""
    number = next(_ids)
    return OutboxRow(number, shard, "out-lecture", destination, key, seq, UUID(int=number), payload, headers)
