"""What the tests of parking must notice: each thing that keeps messages and their order, taken away."""

from __future__ import annotations

import pytest
from sqlalchemy import Select

from streambind.failpoints import FailpointError
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.parked_keys import ParkedKeys
from streambind.inbound.parked_queues import ParkedKey, ParkedQueues
from streambind.message import Batch
from tests.integration.inbound.crashes import crashing_at
from tests.integration.inbound.parking import Poison, batch, parking, plain, turns
from tests.integration.inbound.service import Service, drain


def _drained(service: Service) -> list[int]:
    """What becomes of four events of a key, the first of which fails once."""
    poison = Poison(("k", 1))
    plan = parking(service, poison)
    drain(plan, batch(*plain("k", 1, 2, 3)))
    drain(plan, batch(*plain("k", 4), start=3))
    poison.fix()
    turns(plan)
    return [number for _, number in service.effects()]


def test_the_order_holds_without_numbers(any_service: Service) -> None:
    assert _drained(any_service) == [1, 2, 3, 4]


def test_the_tests_reject_later_messages_that_are_not_set_aside(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ParkedKeys, "waiting", lambda *_: [])
    assert _drained(sync_service) == [2, 3, 4, 1]


def test_the_tests_reject_a_worker_that_takes_the_newest_first(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = ParkedQueues._in

    def newest(self: ParkedQueues, parked: ParkedKey) -> Select[tuple[object, ...]]:
        return ordered(self, parked).order_by(self._message.c.id.desc())

    monkeypatch.setattr(ParkedQueues, "_in", newest)
    assert _drained(sync_service) == [4, 3, 2, 1]


def test_the_tests_reject_parking_apart_from_the_position(
    sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two, and the message comes again behind itself."""
    original = DatabaseEffects.park

    def park(self: DatabaseEffects, batch: Batch, index: int, error: Exception) -> None:
        self._transaction(lambda connection: self._parked.park(connection, batch, index, error))
        raise FailpointError("between")

    poison = Poison(("k", 1))
    plan = parking(sync_service, poison)
    monkeypatch.setattr(DatabaseEffects, "park", park)
    with pytest.raises(FailpointError):
        plan.deliver(batch(*plain("k", 1)))
    monkeypatch.setattr(DatabaseEffects, "park", original)
    poison.fix()
    drain(plan, batch(*plain("k", 1)))
    turns(plan)
    assert sync_service.effects() == [("k", 1), ("k", 1)]


def test_a_crash_while_parking_does_not_handle_twice(sync_service: Service) -> None:
    """What the mutant above breaks."""
    poison = Poison(("k", 1))
    plan = parking(sync_service, poison)
    with crashing_at("parking.after_message"), pytest.raises(FailpointError):
        plan.deliver(batch(*plain("k", 1)))
    poison.fix()
    drain(plan, batch(*plain("k", 1)))
    turns(plan)
    assert sync_service.effects() == [("k", 1)]
