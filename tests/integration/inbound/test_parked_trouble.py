"""Parked keys whose messages meet trouble: others go on, no try is counted, and no log line is faked."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from tests.integration.inbound.parking import parked_keys, parking, set_key, turn, turns
from tests.integration.inbound.service import Event, Service, drain, event, keep
from tests.unit.inbound.batches import ListBatch, record


def _park(service: Service, plan: object) -> None:
    batch = ListBatch([record(event(key, 1), key) for key in ("a", "b")])
    drain(plan, batch)  # type: ignore[arg-type]


def test_trouble_of_one_key_does_not_hold_up_the_others(any_service: Service) -> None:
    parks = True

    def handle(event: Event, session: Session) -> None:
        if parks:
            raise ValueError("park it")
        if event.key == "a":
            raise PoolTimeoutError("the handler's own pool is empty")
        keep(event, session)

    plan = parking(any_service, handle)
    _park(any_service, plan)
    parks = False

    assert turn(plan)
    assert turn(plan)
    assert not turn(plan)
    assert any_service.effects() == [("b", 1)]
    assert parked_keys(any_service) == {b"a": ("retry", 0, 1)}
    assert "the handler's own pool is empty" in (plan.statistics.figures().last_error or "")
    set_key(any_service, next_ms=0)
    assert turn(plan)
    assert parked_keys(any_service) == {b"a": ("retry", 0, 1)}


def test_an_error_of_a_parked_message_fakes_no_line_of_the_log(
    sync_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(event: Event, session: Session) -> None:
        raise ValueError("bad\n2026-11-30 04:00:00 INFO all is well \x1b[2J")

    plan = parking(sync_service, handle, parking={"max_attempts": 2})
    _park(sync_service, plan)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        turns(plan)
    assert caplog.records
    for entry in caplog.records:
        first, *others = entry.getMessage().splitlines()
        assert "\x1b" not in entry.getMessage()
        assert all(line.startswith("  ") or not line for line in others)
        assert "all is well" not in first
