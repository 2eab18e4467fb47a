"""What a replica cannot apply: its key is parked, later events wait, and people retry, change or leave out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from streambind.binding.outcome import RetryAfter
from streambind.inbound.input import InputPlan
from streambind.inbound.listener import send_to, stream_listener
from streambind.inbound.parked_messages import ParkedMessages
from tests.integration.inbound.parking import batch, parked_keys, parking_settings, turns
from tests.integration.inbound.replicas import (
    BROKEN,
    Fragile,
    Item,
    ItemChanged,
    changed,
    items,
    rows,
    tombstone,
)
from tests.integration.inbound.service import DESTINATION, GROUP, Effect, Outbox, Service, drain, listens
from tests.unit.inbound.batches import Record

ONE_TRY: dict[str, Any] = {"parking": {"max_attempts": 1}}


@pytest.fixture
def broken() -> Iterator[set[int]]:
    """The items that cannot be applied."""
    yield BROKEN
    BROKEN.clear()


def desk_of(service: Service) -> ParkedMessages:
    return ParkedMessages(service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")


def names(service: Service) -> dict[int, str]:
    return dict(rows(service, select(Fragile.id, Fragile.name)))


def events(start: int, *records: Record) -> Any:
    return batch(*records, start=start)


@pytest.fixture
def stuck(sync_service: Service, broken: set[int]) -> InputPlan:
    """Of two items one cannot be applied from its second event on; two more of it come."""
    plan = sync_service.plan(Fragile, **parking_settings(**ONE_TRY))
    drain(plan, events(0, changed("INSERT", 1, "a", seq=1)))
    broken.add(1)
    later = [changed("UPDATE", 1, "b", seq=2), changed("INSERT", 2, "x", seq=1), changed("UPDATE", 1, "c", seq=3)]
    drain(plan, events(1, *later))
    drain(plan, events(4, changed("UPDATE", 2, "y", seq=2)))
    return plan


def test_a_table_that_lacks_a_column_is_waited_for_and_nothing_is_parked(any_service: Service) -> None:
    """As when a service is deployed before its migration."""
    plan = any_service.plan(Item, **parking_settings(**ONE_TRY))
    event = changed("INSERT", 1, "a", seq=1)
    _rename(any_service, "item", "price", "cost")
    refused = [plan.deliver(events(0, event)) for _ in range(5)]
    _rename(any_service, "item", "cost", "price")
    for outcome in refused:
        assert isinstance(outcome.then, RetryAfter)
        assert "the table item is not as Item has it: " in outcome.then.reason
        assert "price" in outcome.then.reason
    assert parked_keys(any_service) == {}
    drain(plan, events(0, event))
    assert items(any_service) == {1: "a"}


@pytest.mark.parametrize("published", [False, True])
def test_what_a_handler_left_for_a_table_that_lacks_a_column_is_parked(
    sync_service: Service, published: bool
) -> None:
    """Though it is written when the replica asks the database for something."""

    @listens
    def leave(event: ItemChanged, session: Session) -> None:
        session.add(Effect(key="left", number=event.id))

    plan = sync_service.plan(Item, leave, published=published, **parking_settings(**ONE_TRY))
    _rename(sync_service, "effect", "number", "figure")
    drain(plan, events(0, changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))
    assert parked_keys(sync_service) == {b"1": ("retry", 0, 1), b"2": ("retry", 0, 1)}
    _rename(sync_service, "effect", "figure", "number")
    turns(plan)
    assert (items(sync_service), sync_service.count(Effect)) == ({1: "a", 2: "b"}, 2)


def _rename(service: Service, table: str, before: str, after: str) -> None:
    statement = f"ALTER TABLE {table} RENAME COLUMN {before} TO {after}"
    service.database.run(lambda connection: connection.exec_driver_sql(statement))


def test_its_key_waits_and_others_go_on(sync_service: Service, stuck: InputPlan, broken: set[int]) -> None:
    assert names(sync_service) == {1: "a", 2: "y"}
    assert parked_keys(sync_service) == {b"1": ("retry", 0, 2)}
    broken.clear()
    assert turns(stuck) == 2
    assert names(sync_service) == {1: "c", 2: "y"}
    assert sync_service.guarded() == {b"1": (1, 3), b"2": (1, 2)}
    assert parked_keys(sync_service) == {}


def test_dead_ones_are_tried_again_when_somebody_says_so(
    sync_service: Service, stuck: InputPlan, broken: set[int]
) -> None:
    turns(stuck)
    assert parked_keys(sync_service) == {b"1": ("dead", 1, 2)}
    broken.clear()
    assert turns(stuck) == 0
    assert desk_of(sync_service).retry([(DESTINATION, b"1")]) == 1
    turns(stuck)
    assert names(sync_service) == {1: "c", 2: "y"}
    assert parked_keys(sync_service) == {}


def test_what_follows_one_that_is_left_out_is_applied(
    sync_service: Service, stuck: InputPlan, broken: set[int]
) -> None:
    desk = desk_of(sync_service)
    broken.clear()
    assert desk.skip((DESTINATION, b"1"), [next(desk.messages()).message.id]) == 1
    turns(stuck)
    assert names(sync_service) == {1: "c", 2: "y"}
    assert sync_service.guarded()[b"1"] == (1, 3)


def test_what_no_replica_reads_is_changed_where_it_waits(sync_service: Service) -> None:
    plan = sync_service.plan(Item, **parking_settings(**ONE_TRY))
    drain(plan, events(0, changed("RENAME", 1, "a", seq=1), changed("UPDATE", 1, price=3, name="b", seq=2)))
    turns(plan)
    assert items(sync_service) == {}
    desk = desk_of(sync_service)
    mended = json.dumps({"jobType": "INSERT", "id": 1, "name": "mended"}).encode()
    desk.edit(next(desk.messages()), payload=mended, headers=None)
    desk.retry([(DESTINATION, b"1")])
    turns(plan)
    assert items(sync_service) == {1: "b"}
    assert parked_keys(sync_service) == {}


def test_what_the_database_refuses_is_parked_too(sync_service: Service) -> None:
    plan = sync_service.plan(Item, **parking_settings(**ONE_TRY))
    drain(plan, events(0, changed("INSERT", 1, "a", seq=1, price=2**70), changed("INSERT", 2, "b", seq=1)))
    assert items(sync_service) == {2: "b"}
    assert parked_keys(sync_service) == {b"1": ("retry", 0, 1)}


def test_a_listener_beside_it_answers_once_it_is_applied(sync_service: Service, broken: set[int]) -> None:
    @stream_listener("in-things")
    @send_to("out-things")
    def answer(event: ItemChanged) -> int:
        return event.price

    plan = sync_service.plan(Fragile, answer, replies=Outbox(), **parking_settings())
    broken.add(1)
    drain(plan, events(0, changed("INSERT", 1, "a", seq=1, price=7), changed("INSERT", 2, "b", seq=1, price=8)))
    assert sync_service.effects() == [("reply to out-things", 8)]
    broken.clear()
    turns(plan)
    assert sync_service.effects() == [("reply to out-things", 8), ("reply to out-things", 7)]
    assert names(sync_service) == {1: "a", 2: "b"}


def test_it_is_undone_with_a_listener_that_fails(sync_service: Service) -> None:
    failing = {1}

    def fails(event: ItemChanged, session: Session) -> None:
        if event.id in failing:
            raise ValueError("poison")

    plan = sync_service.plan(Item, listens(fails), **parking_settings())
    drain(plan, events(0, changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))
    assert items(sync_service) == {2: "b"}
    failing.clear()
    turns(plan)
    assert items(sync_service) == {1: "a", 2: "b"}


# Random scripts

Operation = tuple[Any, ...]

keys = st.integers(1, 3)
operations = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "put", "delete", "poison"]), keys, st.sampled_from("abc")),
        st.tuples(st.sampled_from(["retry", "skip", "mend"]), keys),
        st.tuples(st.just("turns")),
    ),
    max_size=25,
)


@dataclass
class Model:
    """The table, and what waits of each key: a name, None for a delete, or POISON."""

    rows: dict[int, str] = field(default_factory=dict)
    waiting: dict[int, list[str | None]] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)

    def comes(self, key: int, what: str | None) -> None:
        if key in self.waiting:
            self.waiting[key].append(what)
        elif what == POISON:
            self.waiting[key] = [what]
        else:
            self._apply(key, what)

    def turns(self) -> None:
        for key in [key for key in self.waiting if key not in self.dead]:
            queue = self.waiting[key]
            while queue and queue[0] != POISON:
                self._apply(key, queue.pop(0))
            if queue:
                self.dead.add(key)
            else:
                del self.waiting[key]

    def leave_out_first(self, key: int) -> None:
        self.waiting[key].pop(0)
        self.dead.discard(key)
        if not self.waiting[key]:
            del self.waiting[key]

    def _apply(self, key: int, what: str | None) -> None:
        if what is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = what


POISON = "poison"


def _play(service: Service, script: list[Operation]) -> None:
    tables = service.database.tables
    used = (Item, tables.position, tables.guard, tables.parked, tables.parked_key)
    service.database.run(lambda connection: [connection.execute(delete(each)) for each in used])
    plan, desk, model = service.plan(Item, **parking_settings(**ONE_TRY)), desk_of(service), Model()
    at = 0
    for operation in (*script, ("turns",)):
        match operation:
            case ("put" | "delete" | "poison") as job, key, name:
                model.numbers[key] = seq = model.numbers.get(key, 0) + 1
                record = {
                    "put": changed("UPDATE", key, name, seq=seq),
                    "delete": tombstone(str(key), seq=seq),
                    "poison": changed("RENAME", key, seq=seq),
                }[job]
                drain(plan, events(at, record))
                at += 1
                model.comes(key, {"put": name, "delete": None, "poison": POISON}[job])
            case "retry", key if key in model.waiting:
                assert desk.retry([_queue(key)]) == 1
                model.dead.discard(key)
            case "skip", key if key in model.waiting:
                assert desk.skip(_queue(key), [_first(desk, key).message.id]) == 1
                model.leave_out_first(key)
            case "mend", key if model.waiting.get(key, [None])[0] == POISON:
                payload = json.dumps({"jobType": "UPDATE", "id": key, "name": "mended"}).encode()
                desk.edit(_first(desk, key), payload=payload, headers=None)
                desk.retry([_queue(key)])
                model.waiting[key][0] = "mended"
                model.dead.discard(key)
            case ("turns",):
                turns(plan)
                model.turns()
        assert items(service) == model.rows
    waits = {str(key).encode(): len(queue) for key, queue in model.waiting.items()}
    assert {key: number for key, (_, _, number) in parked_keys(service).items()} == waits
    done = {str(k).encode(): (1, n - len(model.waiting.get(k, ()))) for k, n in model.numbers.items()}
    assert service.guarded() == {key: number for key, number in done.items() if number[1]}


def _queue(key: int) -> tuple[str, bytes]:
    return DESTINATION, str(key).encode()


def _first(desk: ParkedMessages, key: int) -> Any:
    return next(each for each in desk.messages() if each.queue == _queue(key))


@settings(
    max_examples=20, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=operations)
def test_the_table_is_what_was_applied_in_order(sync_service: Service, script: list[Operation]) -> None:
    _play(sync_service, script)


# Mutants


def _forgets_the_numbers_of_what_is_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ParkedMessages, "_pass_over", lambda *_, **__: None)


def _changes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ParkedMessages, "edit", lambda *_, **__: None)


MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], list[Operation]]] = {
    "forgets the numbers of what is left out": (
        _forgets_the_numbers_of_what_is_left_out,
        [("poison", 1, "a"), ("put", 1, "b"), ("skip", 1)],
    ),
    "changes nothing": (_changes_nothing, [("poison", 1, "a"), ("mend", 1)]),
}


@pytest.mark.parametrize("sync_service", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("break_it", "script"), MUTANTS.values(), ids=MUTANTS)
def test_it_is_rejected_if_it(
    sync_service: Service,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
    script: list[Operation],
) -> None:
    _play(sync_service, script)
    break_it(monkeypatch)
    with pytest.raises(AssertionError):
        _play(sync_service, script)
