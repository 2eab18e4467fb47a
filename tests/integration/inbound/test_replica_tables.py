"""What a replica does to its table: which rows its events are about, and in how many statements."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import String, event, select, update
from sqlalchemy.orm import Mapped, mapped_column

from streambind.binding.outcome import Continue, Outcome
from streambind.event import EntityEvent
from streambind.inbound.replica_rows import _in_order
from streambind.inbound.replicates import replicates
from tests.integration.inbound.replicas import (
    Badge,
    Dear,
    Item,
    ItemChanged,
    Kept,
    Offer,
    changed,
    items,
    rows,
    tombstone,
)
from tests.integration.inbound.service import DESTINATION, Base, Service, drain
from tests.unit.inbound.batches import ListBatch, Record, numbered


class CodedChanged(EntityEvent):
    code: str
    name: str


@replicates("in-things", CodedChanged, key="code")
class Coded(Base):
    """Its events know nothing of its primary key."""

    __tablename__ = "coded"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(10), unique=True)
    name: Mapped[str] = mapped_column(String(40))


@replicates("in-things", ItemChanged, soft_delete="is_gone", owns=["name"])
class Marked(Base):
    """Rows that are marked as deleted by yes or no."""

    __tablename__ = "marked"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    is_gone: Mapped[bool]
    note: Mapped[str | None] = mapped_column(String(40))


@replicates("in-things", ItemChanged, owns=["name", "price"])
class Shared(Base):
    """A source whose deletes put back what it owns."""

    __tablename__ = "shared"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(40))
    price: Mapped[int] = mapped_column(default=7)
    note: Mapped[str | None] = mapped_column(String(40))


class Happened(EntityEvent):
    id: int
    at: datetime


@replicates("in-things", Happened)
class Happening(Base):
    """With a time that has no zone."""

    __tablename__ = "happening"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Size(enum.Enum):
    """Values that have no order."""

    SMALL = "small"
    LARGE = "large"


class SizeChanged(EntityEvent):
    size: Size
    price: int


@replicates("in-things", SizeChanged)
class Sized(Base):
    __tablename__ = "sized"

    size: Mapped[Size] = mapped_column(primary_key=True)
    price: Mapped[int]


PUBLISHED = pytest.mark.parametrize("published", [False, True])
"""Whether the class is published in turn, and its rows go through a session."""


def batch(*records: Record, start: int = 0) -> ListBatch:
    return ListBatch(records, start, DESTINATION)


def coded(job: str, code: str, name: str = "", *, seq: int) -> Record:
    return numbered({"jobType": job, "code": code, "name": name}, code, seq)


@contextmanager
def statements(service: Service, table: str) -> Iterator[list[str]]:
    """The first words of the statements that write to a table meanwhile."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: Any) -> None:
        if statement.startswith((f"INSERT INTO {table} ", f"UPDATE {table} ", f"DELETE FROM {table} ")):
            seen.append(statement.partition(" ")[0])

    event.listen(service.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(service.database.engine, "before_cursor_execute", note)


def test_a_batch_is_at_most_two_statements_for_each_table(any_service: Service) -> None:
    plan = any_service.plan(Item)
    first = [changed("INSERT", each, f"n{each}", seq=1) for each in range(1, 51)]
    with statements(any_service, "item") as seen:
        plan.deliver(batch(*first))
    assert seen == ["INSERT"]

    second = [changed("UPDATE", each, "later", seq=2) for each in range(1, 26)]
    gone = [changed("DELETE", each, seq=2) for each in range(26, 51)]
    with statements(any_service, "item") as seen:
        plan.deliver(batch(*second, *gone, start=50))
    assert seen == ["DELETE", "INSERT"]
    assert items(any_service) == dict.fromkeys(range(1, 26), "later")


def test_soft_deletes_are_one_statement_behind_the_rows(any_service: Service) -> None:
    plan = any_service.plan(Kept)
    first = [changed("INSERT", each, f"n{each}", seq=1) for each in range(1, 6)]
    with statements(any_service, "kept") as seen:
        plan.deliver(batch(*first, *(changed("DELETE", each, seq=2) for each in range(1, 4))))
    assert seen == ["INSERT", "UPDATE"]


def test_postgresql_is_given_a_parameter_a_column_however_many_rows_there_are(postgres_service: Service) -> None:
    plan = postgres_service.plan(Item)
    seen: list[tuple[str, int]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("INSERT INTO item "):
            seen.append((statement, len(parameters)))

    event.listen(postgres_service.database.engine, "before_cursor_execute", note)
    for start, count in ((0, 2), (2, 30)):
        records = [changed("INSERT", each, "n", seq=1) for each in range(start, start + count)]
        plan.deliver(batch(*records, start=start))
    event.remove(postgres_service.database.engine, "before_cursor_execute", note)

    (first, parameters), second = seen
    assert "unnest(" in first
    assert parameters == 3
    assert second == (first, 3)


def test_rows_are_written_in_the_order_of_their_keys(any_service: Service) -> None:
    """Two owners who write the same rows in orders of their own would deadlock."""
    plan = any_service.plan(Item)
    given: list[int] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("INSERT INTO item "):
            # One literal of all keys on PostgreSQL, else a row each.
            values = parameters if isinstance(parameters, dict) else None
            ids = values["given_0"] if values else parameters
            given.extend(_ids(ids))

    event.listen(any_service.database.engine, "before_cursor_execute", note)
    plan.deliver(batch(*(changed("INSERT", each, "n", seq=1) for each in (3, 1, 5, 2, 4))))
    event.remove(any_service.database.engine, "before_cursor_execute", note)
    assert given == [1, 2, 3, 4, 5]


def test_keys_without_an_order_are_written_as_they_come(any_service: Service) -> None:
    events = [{"jobType": "INSERT", "size": size.value, "price": at} for at, size in enumerate(Size)]
    plan = any_service.plan(Sized)
    with statements(any_service, "sized") as seen:
        plan.deliver(batch(*(numbered(each, str(each["size"]), 1) for each in events)))
    assert seen == ["INSERT"]
    assert rows(any_service, select(Sized.size, Sized.price).order_by(Sized.price)) == [
        (Size.SMALL, 0),
        (Size.LARGE, 1),
    ]


def test_not_a_number_is_neither_less_nor_more() -> None:
    rows_ = [(Decimal("NaN"),), (Decimal(1),)]
    assert _in_order(rows_) == rows_


def _ids(parameters: Any) -> list[int]:
    if isinstance(parameters, str):
        return [int(each) for each in parameters.strip("{}").split(",")]
    if isinstance(parameters[0], str):
        return _ids(parameters[0])
    return [each["id"] if isinstance(each, dict) else each[0] for each in parameters]


def test_of_two_keys_that_name_one_row_the_last_event_counts_and_both_are_guarded(any_service: Service) -> None:
    plan = any_service.plan(Item)
    by_one = numbered({"jobType": "INSERT", "id": 1, "name": "a"}, "one", 1)
    by_other = numbered({"jobType": "UPDATE", "id": 1, "name": "b"}, "other", 1)
    with statements(any_service, "item") as seen:
        assert plan.deliver(batch(by_one, by_other)) == Outcome(2, Continue())
    assert seen == ["INSERT"]
    assert items(any_service) == {1: "b"}
    assert any_service.guarded() == {b"one": (1, 1), b"other": (1, 1)}


@PUBLISHED
def test_a_unique_key_beside_the_primary_key_names_the_row(any_service: Service, published: bool) -> None:
    plan = any_service.plan(Coded, published=published)
    all_of_it = select(Coded.id, Coded.code, Coded.name).order_by(Coded.code)
    plan.deliver(batch(coded("INSERT", "a", "1", seq=1), coded("INSERT", "b", "1", seq=1)))
    before = {code: number for number, code, _ in rows(any_service, all_of_it)}

    plan.deliver(batch(coded("UPDATE", "a", "2", seq=2), coded("INSERT", "c", "1", seq=1), start=2))
    found = {code: (number, name) for number, code, name in rows(any_service, all_of_it)}
    assert found["a"] == (before["a"], "2")
    assert found["b"] == (before["b"], "1")
    assert found["c"][1] == "1"

    plan.deliver(batch(coded("DELETE", "a", seq=3), tombstone("b", seq=2), start=4))
    assert [code for _, code, _ in rows(any_service, all_of_it)] == ["c"]


@PUBLISHED
def test_a_row_is_marked_as_deleted_and_not_any_more_when_it_comes_back(
    any_service: Service, published: bool
) -> None:
    plan = any_service.plan(Marked, published=published)
    all_of_it = select(Marked.id, Marked.name, Marked.is_gone, Marked.note).order_by(Marked.id)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))
    assert rows(any_service, all_of_it) == [(1, "a", False, None), (2, "b", False, None)]
    note = update(Marked).values(note="kept")
    any_service.database.run(lambda connection: connection.execute(note))

    plan.deliver(batch(changed("DELETE", 1, seq=2), start=2))
    assert rows(any_service, all_of_it) == [(1, "a", True, "kept"), (2, "b", False, "kept")]

    plan.deliver(batch(changed("INSERT", 1, "c", seq=3), start=3))
    assert rows(any_service, all_of_it) == [(1, "c", False, "kept"), (2, "b", False, "kept")]


@PUBLISHED
def test_a_delete_puts_back_what_its_source_owns_and_leaves_the_row(any_service: Service, published: bool) -> None:
    plan = any_service.plan(Shared, published=published)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1, price=1), changed("INSERT", 2, "b", seq=1, price=2)))
    note = update(Shared).values(note="kept")
    any_service.database.run(lambda connection: connection.execute(note))

    # The third row was never there: a DELETE makes none.
    plan.deliver(batch(changed("DELETE", 1, seq=2), tombstone("3", seq=1), start=2))

    found = rows(any_service, select(Shared.id, Shared.name, Shared.price, Shared.note).order_by(Shared.id))
    assert found == [(1, None, 7, "kept"), (2, "b", 2, "kept")]


@PUBLISHED
def test_the_time_of_a_soft_delete_is_the_messages(any_service: Service, published: bool) -> None:
    plan = any_service.plan(Kept, published=published)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("DELETE", 1, seq=2)))
    ((found,),) = rows(any_service, select(Kept.deleted_at))
    moment = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    assert moment == datetime.fromtimestamp(1_660_000_000, UTC)


@PUBLISHED
def test_a_condition_chooses_the_events(any_service: Service, published: bool) -> None:
    plan = any_service.plan(Dear, published=published)
    dear = [changed("INSERT", 1, "a", seq=1, price=6), changed("INSERT", 2, "b", seq=1, price=5)]
    assert plan.deliver(batch(*dear, changed("UPDATE", 1, "c", seq=2, price=4))) == Outcome(3, Continue())
    assert rows(any_service, select(Dear.id, Dear.name, Dear.price)) == [(1, "a", 6)]
    assert any_service.guarded() == {b"1": (1, 2), b"2": (1, 1)}


def test_two_replicas_of_one_event_share_its_transaction(any_service: Service) -> None:
    plan = any_service.plan(Item, Offer)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1, price=7)))
    plan.deliver(batch(changed("DELETE", 1, seq=2), changed("UPDATE", 2, "c", seq=2), start=2))
    assert items(any_service) == {2: "c"}
    assert rows(any_service, select(Offer.id, Offer.name)) == [(2, "c")]
    assert any_service.commits == 2


def _badges(service: Service, *changes: tuple[int, str]) -> tuple[int, dict[int, str]]:
    """Two rows with unique names, a and b, that are changed in one batch: how many changes fail, and the names."""
    plan = service.plan(Badge, on_error="skip", max_attempts=1)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))
    numbers = {1: 1, 2: 1}
    records = []
    for number, name in changes:
        numbers[number] += 1
        records.append(changed("UPDATE", number, name, seq=numbers[number]))
    drain(plan, batch(*records, start=2))
    return plan.statistics.figures().skipped, dict(rows(service, select(Badge.id, Badge.name)))


def test_a_state_in_between_that_a_constraint_would_refuse_is_not_seen(any_service: Service) -> None:
    assert _badges(any_service, (1, "b"), (1, "c")) == (0, {1: "c", 2: "b"})


def test_what_the_table_refuses_as_a_whole_is_done_message_by_message(any_service: Service) -> None:
    assert _badges(any_service, (1, "c"), (2, "a"), (1, "b")) == (0, {1: "b", 2: "a"})


def test_two_rows_that_swap_a_unique_name_need_a_third_one(any_service: Service) -> None:
    # Of both changes one is refused whatever the order, and then the other one too.
    assert _badges(any_service, (1, "b"), (2, "a")) == (2, {1: "a", 2: "b"})


def test_a_time_with_a_zone_is_stored_as_its_own_clock_shows_it_where_the_column_has_none(
    any_service: Service,
) -> None:
    event = {"jobType": "INSERT", "id": 1, "at": "2026-01-02T03:04:05+09:00"}
    assert any_service.plan(Happening).deliver(batch(numbered(event, "1", 1))).done == 1
    assert rows(any_service, select(Happening.at)) == [(datetime(2026, 1, 2, 3, 4, 5),)]
