"""What a person does to parked messages holds up nobody for long, and waits for nobody for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from streambind.inbound import parked_messages as desk_module
from streambind.inbound.parked_messages import ParkedMessages
from streambind.persistence import database
from streambind.persistence.failures import is_database_trouble
from tests.integration.inbound.parking import Poison, batch, of_key, parked_messages, parked_offsets, parking
from tests.integration.inbound.service import DESTINATION, GROUP, Service, drain

KEY = (DESTINATION, b"k")


def park(service: Service, count: int) -> tuple[ParkedMessages, list[int]]:
    """So many wait behind one key; their ids."""
    drain(parking(service, Poison(("k", 1))), batch(*of_key("k", *range(1, count + 1))))
    desk = ParkedMessages(service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")
    return desk, [row.id for row in parked_messages(service)]


def test_many_are_left_out_in_several_transactions(any_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "_SKIPPED_AT_ONCE", 2)
    desk, ids = park(any_service, 5)
    begun = 0
    run = any_service.database.run_bounded

    def counted(work: Callable[[Connection], Any]) -> Any:
        nonlocal begun
        begun += 1
        return run(work)

    monkeypatch.setattr(any_service.database, "run_bounded", counted)

    assert desk.skip(KEY, ids) == 5

    assert begun == 4, "two, two, one, and none is left"
    assert parked_messages(any_service) == []
    assert any_service.guarded() == {b"k": (1, 5)}


def test_those_before_one_that_is_not_named_are_left_out(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_SKIPPED_AT_ONCE", 2)
    desk, ids = park(any_service, 5)
    assert desk.skip(KEY, [*ids[:3], ids[4]]) == 3
    assert parked_offsets(any_service) == [(0, 3), (0, 4)]


@pytest.mark.parametrize("any_service", ["postgresql+psycopg"], indirect=True)
def test_who_meets_a_lock_gives_up_in_time(any_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OPERATOR_TIMEOUT_MS", 300)
    desk, ids = park(any_service, 1)
    row = select(any_service.database.tables.parked_key).with_for_update()
    with any_service.database.engine.begin() as other:
        assert len(other.execute(row).all()) == 1
        with pytest.raises(OperationalError) as refused:
            desk.retry([KEY])
        assert is_database_trouble(refused.value)
        with pytest.raises(OperationalError):
            desk.skip(KEY, ids)
    assert desk.retry([KEY]) == 1
