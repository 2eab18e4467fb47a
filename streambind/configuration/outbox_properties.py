"""The schema of `streambind.outbox`: what waits in the database to be sent, and who sends it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from streambind.configuration.durations import Milliseconds
from streambind.configuration.property_model import Properties


class Fencing(StrEnum):
    """What keeps a relay that has lost its shards from sending after their new owner."""

    TRANSACTIONAL = "transactional"
    NONE = "none"


class OutboxProperties(Properties):
    """`streambind.outbox.*`"""

    batch_size: int = Field(1000, ge=1, description="rows that the relay reads at once")
    poll_interval_ms: Milliseconds = Field(
        1000, alias="pollInterval", description="how often the relay looks without being woken"
    )
    lease_ms: Milliseconds = Field(
        10_000, alias="lease", ge=1000, description="after which another instance takes over from a silent one"
    )
    relay: bool = Field(True, description="whether this process sends what is in the outbox")
    high_water: int = Field(
        50_000,
        ge=1,
        lt=100_000,
        description="rows in the outbox above which the relay warns and health is degraded",
    )
    high_water_age_ms: Milliseconds = Field(
        600_000,
        alias="highWaterAge",
        ge=1,
        description="age of a row in the outbox above which the relay warns and health is degraded",
    )
    max_rows: int | None = Field(
        None, ge=1, description="rows in the outbox above which commits that publish fail; unset: no limit"
    )
    fencing: Fencing = Field(
        Fencing.NONE,
        description="`transactional`: the broker shuts a relay out that has lost its lease, for consumers that do "
        "not check sequence numbers; all relays of a database need the same",
    )
    notify: bool = Field(
        True, description="PostgreSQL: whether processes wake each other's relays after a commit (LISTEN, NOTIFY)"
    )
