"""What a person does to parked messages holds up nobody for long, and waits for nobody for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import OperationalError

from streambind.errors import LifecycleError
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


def test_those_before_one_that_is_not_named_are_left_out_and_it_is_told(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_SKIPPED_AT_ONCE", 2)
    desk, ids = park(any_service, 5)
    told: list[int] = []
    with pytest.raises(LifecycleError, match=f"parked/{ids[3]} waits before it"):
        desk.skip(KEY, [*ids[:3], ids[4]], progress=told.append)
    assert sum(told) == 3
    assert parked_offsets(any_service) == [(0, 3), (0, 4)]


def test_those_before_one_that_has_not_come_are_left_out_and_told(any_service: Service) -> None:
    drain(parking(any_service, Poison(("k", 1))), batch(*of_key("k", 1, 2, 4)))
    desk = ParkedMessages(any_service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")
    told: list[int] = []
    with pytest.raises(LifecycleError, match="number 4 of its key came after number 2"):
        desk.skip(KEY, [row.id for row in parked_messages(any_service)], progress=told.append)
    assert sum(told) == 2
    assert parked_offsets(any_service) == [(0, 2)]
    assert any_service.guarded() == {b"k": (1, 2)}


def test_by_force_many_go_in_the_order_of_their_numbers(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_SKIPPED_AT_ONCE", 2)
    drain(parking(any_service, Poison(("k", 1))), batch(*of_key("k", 1, 6, 4, 2, 5, 3)))
    desk = ParkedMessages(any_service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")
    ids = [row.id for row in parked_messages(any_service)]
    assert desk.skip(KEY, [ids[0], *ids[2:]], force=True) == 5
    assert [row.id for row in parked_messages(any_service)] == [ids[1]]
    assert any_service.guarded() == {b"k": (1, 5)}


@pytest.mark.parametrize("force", [False, True])
def test_no_statement_names_all_messages_of_a_key(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """A database takes so many parameters, and there may be a million messages."""
    monkeypatch.setattr(desk_module, "_SKIPPED_AT_ONCE", 5)
    desk, ids = park(any_service, 40)
    given: list[int] = []

    def note(_c: object, _cursor: object, _statement: str, parameters: Any, *_: object) -> None:
        given.append(len(parameters))

    event.listen(any_service.database.engine, "before_cursor_execute", note)
    assert desk.skip(KEY, ids, force=force) == 40
    event.remove(any_service.database.engine, "before_cursor_execute", note)
    assert max(given) < 25


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
