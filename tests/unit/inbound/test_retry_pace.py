"""How long the worker of parked keys waits."""

from __future__ import annotations

from typing import cast

from streambind.configuration.parking_properties import ParkingProperties
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.parked_retry import ParkedRetry
from streambind.inbound.retry_worker import RetryWorker


def test_trouble_is_waited_for_at_random_so_that_workers_do_not_come_back_at_once() -> None:
    worker = RetryWorker(
        "in-things",
        cast(ParkedRetry, None),
        poll_interval_ms=1,
        mass_failure=MassFailure(ParkingProperties()),
    )

    pauses_s = [worker._troubled(OSError("away")) for _ in range(30)]

    assert all(15 <= pause_s <= 30 for pause_s in pauses_s[9:])
    assert len(set(pauses_s[9:])) > 1
