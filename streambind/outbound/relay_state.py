"""How a relay is doing, for health and people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RelayStatus(StrEnum):
    """`degraded`: waiting for the database, a broker or leases, and going on by itself; `failed`: the last try
    met a defect, and the next one comes all the same."""

    STOPPED = "stopped"
    RUNNING = "running"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RelayState:
    """A snapshot. `backlog` (counted up to 100 000) and `blocked` are as of the last renewal of the leases;
    `shards` are the shards held; `destinations` says what is wrong with those that are not served;
    `sent` counts the messages that a broker has confirmed since the start."""

    status: RelayStatus
    last_error: str | None = None
    backlog: int = 0
    blocked: int = 0
    shards: tuple[int, ...] = ()
    destinations: Mapping[str, str] = field(default_factory=dict)
    sent: int = 0
