"""The schema of `consumer.parking`: keys that wait in the database."""

from __future__ import annotations

from pydantic import Field

from streambind.configuration.durations import Milliseconds
from streambind.configuration.property_model import Properties


class ParkingProperties(Properties):
    """`bindings.<name>.consumer.parking.*`: keys that wait in the database, and when they are tried again."""

    max_attempts: int = Field(20, ge=1, description="tries of a parked message until its key is dead")
    back_off_initial_interval_ms: Milliseconds = Field(
        5_000, alias="backOffInitialInterval", description="pause before the first try"
    )
    back_off_max_interval_ms: Milliseconds = Field(
        300_000, alias="backOffMaxInterval", description="longest pause between tries"
    )
    back_off_multiplier: float = Field(2.0, ge=1.0, description="growth of the pause")
    gap_timeout_ms: Milliseconds = Field(
        600_000, alias="gapTimeout", description="how long a missing predecessor is waited for"
    )
    poll_interval_ms: Milliseconds = Field(
        5_000, alias="pollInterval", ge=50, description="how often the database is asked for what others parked"
    )
    history_retention_ms: Milliseconds | None = Field(
        None,
        alias="historyRetention",
        ge=1000,
        description="how long it is remembered which dead letters were replayed or skipped, and who did what to "
        "parked messages; longer than the dead-letter topic keeps records; unset: for ever",
    )
    max_keys: int = Field(10_000, ge=1, description="parked keys of a destination; more stop the partition")
    max_messages_per_key: int = Field(
        100_000, ge=1, description="messages that wait behind one key; more stop the partition"
    )
    mass_failure_keys: int = Field(
        10, ge=1, description="with so many keys parked within the window, and the share, nothing more is parked"
    )
    mass_failure_share: float = Field(
        0.2, ge=0.0, le=1.0, description="of the messages within the window, those that had to be parked"
    )
    mass_failure_window_ms: Milliseconds = Field(
        60_000, alias="massFailureWindow", ge=1, description="how far back failures are counted"
    )
